import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { searchAttributes } from '../../src/contract/messages.ts';
import { devEnvironment } from '../../src/config/dev-environment.ts';
import { findTemporal } from '../../src/dev/temporal-find.ts';
import { missingSearchAttributes } from '../../src/dev/temporal-prepare.ts';
import { dynamicConfig, retentionDays } from '../../src/dev/temporal-settings.ts';
import { connect } from '../../src/dev/temporal-server.ts';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { sharedTemporal } from '../support/temporal.ts';

const file = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

describe('the compose file', () => {
  test('gives the server the settings of the embedded one', async () => {
    const found = parse(await readFile(file('deploy/temporal-dynamic-config.yaml'), 'utf8')) as Record<
      string,
      [{ value: unknown }]
    >;
    expect(Object.fromEntries(Object.entries(found).map(([key, [first]]) => [key, first.value]))).toEqual(
      dynamicConfig,
    );
  });

  test('publishes ports on loopback only, and holds no password', async () => {
    const text = await readFile(file('docker-compose.yml'), 'utf8');
    const compose = parse(text, { merge: true }) as {
      services: Record<string, { ports?: string[]; environment?: Record<string, string> }>;
    };
    const ports = Object.values(compose.services).flatMap((service) => service.ports ?? []);
    expect(ports).not.toEqual([]);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
    const passwords = Object.values(compose.services).flatMap((service) =>
      Object.entries(service.environment ?? {}).flatMap(([name, value]) => (/PASSWORD|PWD/.test(name) ? [value] : [])),
    );
    expect(new Set(passwords.map((value) => value.replace(/\?.*/, '?}')))).toEqual(
      new Set(['${TEMPORAL_DB_PASSWORD:?}']),
    );
  });
});

test('the deploy step of the namespace makes one with retention and search attributes, twice without harm', async () => {
  const { address } = sharedTemporal();
  const environment = devEnvironment();
  const cli = await findTemporal({ environment, onProgress: () => undefined });
  const bin = await mkdtemp(join(tmpdir(), 'slipway-deploy-'));
  await symlink(cli.path, join(bin, 'temporal'));
  const namespace = `deployed-${process.pid}`;
  const env = { ...environment.variables, TEMPORAL_ADDRESS: address, PATH: `${bin}${delimiter}${environment.path}` };
  try {
    execFileSync('/bin/sh', [file('deploy/temporal-namespace.sh'), namespace], { env, stdio: 'pipe' });
    const connection = await connect({ address });
    // A server tells a namespace to all its parts within a moment.
    await expect.poll(() => missingSearchAttributes(connection, namespace), { timeout: 15_000 }).toEqual([]);
    const found = await connection.workflowService.describeNamespace({ namespace });
    expect(Number(found.config?.workflowExecutionRetentionTtl?.seconds)).toBe(retentionDays * 86_400);
    execFileSync('/bin/sh', [file('deploy/temporal-namespace.sh'), namespace], { env, stdio: 'pipe' });
    await connection.close();
  } finally {
    await rm(bin, { recursive: true, force: true });
  }
});

test('the deploy step of the namespace names the search attributes of the contract', async () => {
  const text = await readFile(file('deploy/temporal-namespace.sh'), 'utf8');
  expect(/for name in (.*); do/.exec(text)?.[1]?.split(' ')).toEqual([...searchAttributes]);
});
