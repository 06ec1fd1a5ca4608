import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { checkSettings, readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { dynamicConfig } from '../../src/dev/temporal-settings.ts';

const file = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name: string) => readFileSync(file(name), 'utf8');

/** What our file uses of the Compose specification (github.com/compose-spec/compose-spec); anything else is a slip. */
const duration = z.string().regex(/^(\d+(ms|s|m|h))+$/);
const words = z.array(z.string()).min(1);
const pinned = z.string().regex(/^[a-z0-9./-]+:\d+(\.\d+)+(-[a-z0-9]+)*$/, 'an image is pinned to a whole version');
const composeService = z.strictObject({
  image: pinned,
  build: z.literal('.').optional(),
  init: z.boolean().optional(),
  restart: z.string().regex(/^(unless-stopped|on-failure:\d+)$/),
  network_mode: z.string().startsWith('service:').optional(),
  depends_on: z
    .record(
      z.string(),
      z.strictObject({ condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']) }),
    )
    .optional(),
  environment: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  secrets: z.array(z.string()).optional(),
  volumes: z.array(z.string().regex(/^(\.\/|[a-z])[^:]*:\/[^:]+(:ro)?$/)).optional(),
  entrypoint: words.optional(),
  command: words.optional(),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'a port is published on loopback')).optional(),
  healthcheck: z
    .union([
      z.strictObject({ disable: z.literal(true) }),
      z.strictObject({
        test: words.refine(([how]) => how === 'CMD' || how === 'CMD-SHELL'),
        interval: duration.optional(),
        timeout: duration.optional(),
        start_period: duration.optional(),
        retries: z.int().optional(),
      }),
    ])
    .optional(),
  stop_grace_period: duration.optional(),
  deploy: z.strictObject({ replicas: z.int().min(1) }).optional(),
});
const composeFile = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]*$/),
  services: z.record(z.string(), composeService),
  volumes: z.record(z.string(), z.null()),
  secrets: z.record(z.string(), z.strictObject({ file: z.string().startsWith('./deploy/secrets/') })),
});

const compose = () => {
  const all = parse(read('docker-compose.yml'), { merge: true }) as Record<string, unknown>;
  return composeFile.parse(Object.fromEntries(Object.entries(all).filter(([key]) => !key.startsWith('x-'))));
};

describe('the compose file', () => {
  test('says nothing but what Compose knows, with all images pinned and all ports on loopback', () => {
    expect(() => compose()).not.toThrow();
  });

  test('names services, volumes, secrets and files that are there', () => {
    const { services, volumes, secrets } = compose();
    for (const [name, service] of Object.entries(services)) {
      const named = [
        ...Object.keys(service.depends_on ?? {}),
        ...(service.network_mode === undefined ? [] : [service.network_mode.slice('service:'.length)]),
      ];
      expect([name, named.filter((other) => !(other in services))]).toEqual([name, []]);
      expect([name, (service.secrets ?? []).filter((secret) => !(secret in secrets))]).toEqual([name, []]);
      const sources = (service.volumes ?? []).map((volume) => volume.split(':')[0] ?? '');
      const missing = sources.filter((source) =>
        source.startsWith('./') ? !existsSync(file(source)) : !(source in volumes),
      );
      expect([name, missing]).toEqual([name, []]);
      const scripts = (service.entrypoint ?? []).filter((word) => word.startsWith('/deploy/'));
      expect(scripts.filter((script) => !existsSync(file(script.slice(1))))).toEqual([]);
      // A health that others wait for is looked at: by its own check, or by that of our image.
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        const { healthcheck, image } = services[other] ?? {};
        const isChecked = healthcheck === undefined ? image?.startsWith('slipway:') : !('disable' in healthcheck);
        if (condition === 'service_healthy') expect([name, other, isChecked]).toEqual([name, other, true]);
      }
    }
  });

  test('gives passwords as files only, which git and the image never see', () => {
    const { services } = compose();
    const values = Object.values(services).flatMap(({ environment }) => Object.entries(environment ?? {}));
    expect(values.filter(([name]) => /PASSWORD|PWD|SECRET|TOKEN|KEY/.test(name)).map(([, value]) => value)).toEqual([
      '/run/secrets/database_password',
    ]);
    expect(read('.gitignore').split('\n')).toContain('deploy/secrets/');
    expect(read('.dockerignore').split('\n')).toContain('*');
  });

  test('starts what the program has, on one network, after the set-up', () => {
    const { services } = compose();
    const ours = Object.entries(services).filter(([, { image }]) => image.startsWith('slipway:'));
    const commands = Object.fromEntries(ours.map(([name, { command }]) => [name, command?.slice(0, 2).join(' ')]));
    expect(commands).toEqual({
      setup: 'setup',
      computer: undefined,
      local: 'serve local',
      api: 'serve api',
      worker: 'serve worker',
    });
    expect(services['worker']?.deploy?.replicas).toBe(2);
    for (const name of ['local', 'api', 'worker']) expect(services[name]?.network_mode).toBe('service:computer');
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(new Set(ours.map(([, { image }]) => image))).toEqual(new Set([`slipway:${version}`]));
  });

  test('gives the server the settings of the embedded one', () => {
    const found = parse(read('deploy/temporal-dynamic-config.yaml')) as Record<string, [{ value: unknown }]>;
    expect(Object.fromEntries(Object.entries(found).map(([key, [first]]) => [key, first.value]))).toEqual(
      dynamicConfig,
    );
  });

  test('mounts settings that slipway reads', async () => {
    const state = stateFolder(join(file('deploy/config'), '.slipway'));
    expect(await checkSettings(state)).toEqual([]);
    const { secrets } = compose();
    const tokens = Object.values((await readSettings(state)).tokens).map((token) => token.file);
    expect(tokens.filter((path) => !(path.replace('/run/secrets/', '') in secrets))).toEqual([]);
  });
});

describe('the Dockerfile', () => {
  /** One instruction a line. */
  const instructions = read('Dockerfile')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const of = (word: string) => instructions.filter((line) => line.startsWith(`${word} `));

  test('builds and runs on one pinned version of Node that we support, as an ordinary user', () => {
    const bases = of('FROM').map((line) => line.split(' ')[1] ?? '');
    expect(bases).toHaveLength(2);
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(/^node:20\.\d+\.\d+-bookworm-slim$/);
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const least = Number(/>=20\.(\d+)/.exec(engines.node)?.[1]);
    expect(Number(bases[0]?.split('.')[1])).toBeGreaterThanOrEqual(least);
    expect(of('USER')).toEqual(['USER node']);
  });

  test('copies what is there, and what .dockerignore lets through', () => {
    const sources = of('COPY')
      .filter((line) => !line.includes('--from='))
      .flatMap((line) => line.split(' ').slice(1, -1));
    expect(sources).not.toEqual([]);
    expect(sources.filter((source) => !existsSync(file(source)))).toEqual([]);
    const allowed = read('.dockerignore').split('\n');
    expect(sources.filter((source) => !allowed.includes(`!${source}`))).toEqual([]);
  });

  test('calls a process healthy by a fresh file, and no other', () => {
    const [, check = ''] = / CMD (.*)$/.exec(of('HEALTHCHECK')[0] ?? '') ?? [];
    const folder = mkdtempSync(join(tmpdir(), 'slipway-health-'));
    const path = join(folder, 'ready');
    const isHealthy = (): boolean => {
      try {
        execFileSync('/bin/sh', ['-c', check], { env: { ...process.env, SLIPWAY_READY_FILE: path }, stdio: 'pipe' });
        return true;
      } catch {
        return false;
      }
    };
    try {
      expect(isHealthy()).toBe(false);
      writeFileSync(path, '');
      expect(isHealthy()).toBe(true);
      const longAgo = Date.now() / 1_000 - 20;
      utimesSync(path, longAgo, longAgo);
      expect(isHealthy()).toBe(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
