import { afterAll, beforeAll, expect, test } from 'vitest';
import { poolWorkflowId, providerKey } from '../../src/domain/ids.ts';
import { lastStageOf, postToMachine } from '../../src/rendezvous/posts.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { name, poolMachines } from './pool-machine.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());
const { startMachine, listener, close } = poolMachines(() => bench);

test('a guest that is made anew speaks too early to be heard, and is heard when its machine knows of it', async () => {
  const pool = await listener(name('p'));
  const one = await listener(name('l'));
  const of = name('w');
  const world = bench.world(poolWorkflowId(of));
  world.plan = fakePlan({ gate: 'checkin', reclaim: 'reload' });
  const { handle, status, inPhase } = await startMachine(of, pool.holder);
  const { machineId } = await status();
  const key = providerKey(machineId, 'run');
  const userData = { files: [{ path: '/etc/site.conf', text: 'colour = blue' }] };
  const deps = {
    client: bench.client,
    blobs: { get: async () => Buffer.from(JSON.stringify({ userData })) },
    sameSource: async () => false,
  };
  const guest = (generation: number) => ({ machineId, birth: 'run', generation });
  const posts = (generation: number, what: object) =>
    postToMachine(deps, guest(generation), { key, generation, source: '10.0.2.15', ...what });
  const keys = { facts: {}, hostKeys: ['ssh-ed25519 AAAA'] };

  await inPhase('readying');
  expect(await posts(1, { result: 0 })).toBe('taken');
  await inPhase('warm');
  await handle.signal('hold', one);
  await inPhase('ready');
  world.hold('reloadMachine');
  await handle.signal('release', { leaseId: one.leaseId });
  await world.isHeld('reloadMachine');
  expect([await posts(2, keys), await posts(2, { result: 0 })]).toEqual(['early', 'early']);
  expect(await lastStageOf(deps, guest(2), '10.0.2.15')).toEqual({ refused: 'early' });
  expect(await status()).toMatchObject({ phase: 'renewing', generation: 1, checkIn: { posts: 1 } });

  world.letGo('reloadMachine');
  await inPhase('readying');
  expect((await status()).checkIn).toBeUndefined();
  expect([await posts(1, keys), await posts(1, { result: 1 })]).toEqual(['replayed', 'replayed']);
  expect(await lastStageOf(deps, guest(1), '10.0.2.15')).toEqual({ refused: 'replayed' });
  expect(await lastStageOf(deps, guest(2), '10.0.2.15')).toEqual({ text: expect.stringContaining('colour = blue') });
  expect((await status()).checkIn).toBeUndefined();
  expect([await posts(2, keys), await posts(2, { result: 0 })]).toEqual(['taken', 'taken']);
  await inPhase('warm');
  expect(await status()).toMatchObject({ generation: 2, checkIn: { posts: 2, result: 0, hostKeys: keys.hostKeys } });

  await handle.signal('retire', { why: 'drained' });
  expect(await handle.result()).toMatchObject({ phase: 'gone' });
  expect([await posts(2, { result: 0 }), await posts(3, keys)]).toEqual(['late', 'late']);
  await Promise.all([close(pool.leaseId), close(one.leaseId)]);
});
