import { createServer } from 'node:net';
import { mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DomainError } from '../../src/domain/failure.ts';
import { adoptMachine } from '../../src/providers/local/adopt.ts';
import { createGateKeeper } from '../../src/providers/local/gates.ts';
import { localPaths } from '../../src/providers/local/local-paths.ts';
import { bindAgain, newMachine, newTurns, type Ground, type Machine } from '../../src/providers/local/machine.ts';
import { powerMachine } from '../../src/providers/local/power.ts';
import { layRecord, type MachineRecord } from '../../src/providers/local/record.ts';
import type { Life, Tier } from '../../src/providers/local/tier.ts';
import { canConnect, newKeys } from '../support/local-machines.ts';

/** A host that does as it is told, until it refuses. */
const host = { life: 'running' as Life, refuses: false };
const obey = (life: Life) => (): Promise<void> => {
  if (host.refuses) return Promise.reject(new DomainError('ProviderUnavailable', 'The host says no.'));
  host.life = life;
  return Promise.resolve();
};
const tier: Tier = {
  name: 'plain',
  user: 'nobody',
  make: obey('running'),
  adopt: () => Promise.resolve(),
  look: () => host.life,
  facts: () => ({}),
  account: () => Promise.resolve(undefined),
  authorizedKeys: () => Promise.resolve([]),
  spawn: () => {
    throw new Error('nobody logs in');
  },
  stop: obey('stopped'),
  start: obey('running'),
  console: () => '',
  destroy: obey('stopped'),
};

let root: string;
let ground: Ground;
let machine: Machine;
let adopted: Machine | undefined;
const onDisk = (): MachineRecord =>
  JSON.parse(readFileSync(join(ground.paths.machines, 'm', 'machine.json'), 'utf8')) as MachineRecord;
const answers = (): Promise<boolean> => canConnect(machine.record.address, machine.record.port);

beforeEach(async () => {
  Object.assign(host, { life: 'running', refuses: false });
  root = await mkdtemp(join(tmpdir(), 'slipway-power-'));
  const paths = localPaths(join(root, 'local'));
  mkdirSync(paths.machines, { recursive: true });
  const knobs = () => ({});
  const gates = createGateKeeper(paths.held, knobs);
  ground = { addresses: newTurns(), paths, tierOf: () => tier, knobs, gates, logger: pino({ level: 'silent' }) };
  const { hostKey, clientKey } = newKeys();
  machine = newMachine({
    version: 1,
    id: 'm',
    key: 'k',
    tags: { 'slipway-installation': 'i', 'slipway-machine': 'm.1', 'slipway-lease': 'm', 'slipway-key': 'k' },
    spec: { hostname: 'm', variant: {}, hostKey: hostKey.privateKey, authorizedKeys: [clientKey.publicKey] },
    tier: 'plain',
    diskMb: 64,
    address: '127.0.0.1',
    port: await freePort(),
    createdAt: new Date().toISOString(),
    bootedAtMs: Date.now(),
    phase: 'made',
  });
  await layRecord(paths, machine.record);
  await bindAgain(ground, machine);
});
afterEach(async () => {
  for (const each of [machine, adopted]) await each?.ssh?.close();
  adopted = undefined;
  await rm(root, { recursive: true, force: true });
});

test('a machine that is switched off is recorded as off before it is so, and has no address', async () => {
  await powerMachine(ground, machine, 'off');
  expect([host.life, onDisk().off, machine.record.off, await answers()]).toEqual(['stopped', true, true, false]);
  await powerMachine(ground, machine, 'on');
  expect([host.life, onDisk().off, machine.record.off, await answers()]).toEqual([
    'running',
    undefined,
    undefined,
    true,
  ]);
});

test('a machine whose host refuses to switch it off runs on, says so, and answers under its address', async () => {
  host.refuses = true;
  for (const action of ['off', 'reset'] as const) {
    await expect(powerMachine(ground, machine, action)).rejects.toThrow('The host says no.');
    expect([host.life, onDisk().off, machine.record.off, await answers()]).toEqual([
      'running',
      undefined,
      undefined,
      true,
    ]);
  }
  host.refuses = false;
  await powerMachine(ground, machine, 'off');
  expect([host.life, onDisk().off]).toEqual(['stopped', true]);
});

test('a machine whose host refuses to switch it on stays off, and a later call goes on', async () => {
  await powerMachine(ground, machine, 'off');
  host.refuses = true;
  await expect(powerMachine(ground, machine, 'on')).rejects.toThrow('The host says no.');
  expect([host.life, onDisk().off, machine.record.off]).toEqual(['stopped', true, true]);
  host.refuses = false;
  await powerMachine(ground, machine, 'on');
  expect([host.life, onDisk().off, await answers()]).toEqual(['running', undefined, true]);
});

test('a switch that cannot be recorded is not made', async () => {
  const { machines } = ground.paths;
  await rm(join(machines, 'm'), { recursive: true });
  await expect(powerMachine(ground, machine, 'off')).rejects.toMatchObject({
    type: 'ProviderUnavailable',
    message: expect.stringContaining('was not switched'),
  });
  expect([host.life, machine.record.off, await answers()]).toEqual(['running', undefined, true]);
});

test('who adopts a machine in the middle of its switch finishes that, or finds it running when its host refuses', async () => {
  await powerMachine(ground, machine, 'off');
  const half = onDisk();
  host.life = 'running';
  adopted = newMachine(half);
  await adoptMachine(ground, adopted, new Set());
  expect([host.life, adopted.record.off]).toEqual(['stopped', true]);
  Object.assign(host, { life: 'running', refuses: true });
  adopted = newMachine(half);
  await adoptMachine(ground, adopted, new Set());
  expect([host.life, onDisk().off, adopted.record.off, await answers()]).toEqual([
    'running',
    undefined,
    undefined,
    true,
  ]);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
