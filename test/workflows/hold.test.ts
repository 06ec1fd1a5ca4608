import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { poolWorkflowId } from '../../src/domain/ids.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { steps } from './kit.ts';
import { name, poolMachines } from './pool-machine.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const { startMachine, listener, close } = poolMachines(() => bench);

describe.concurrent('a machine that is kept warm', () => {
  test('serves the lease that it is held for, and is gone when that releases it', async () => {
    const pool = await listener(name('p'));
    const lease = await listener(name('l'));
    const { world, handle, status, inPhase } = await startMachine(name('w'), pool.holder);
    await inPhase('warm');
    expect(await status()).toMatchObject({ leaseId: '', pool: { uses: 0 } });
    await handle.signal('release', { leaseId: lease.leaseId });
    await handle.signal('hold', lease);
    await inPhase('ready');
    expect(await status()).toMatchObject({ leaseId: lease.leaseId, pool: { uses: 1 } });
    await handle.signal('release', { leaseId: lease.leaseId });
    expect(await handle.result()).toMatchObject({ phase: 'gone', cause: 'released' });
    expect(world.owned()).toEqual([]);
    await Promise.all([close(pool.leaseId), close(lease.leaseId)]);
  });

  test('installs what the lease brings, from that lease’s recipe, before it is ready', async () => {
    const pool = await listener(name('p'));
    const lease = await listener(name('l'));
    const of = name('w');
    bench.world(poolWorkflowId(of)).plan = fakePlan({ steps });
    const { world, handle, inPhase } = await startMachine(of, pool.holder);
    await inPhase('warm');
    expect(world.count('runStep')).toBe(2);
    await handle.signal('hold', { ...lease, own: { digest: 'e'.repeat(64), from: 2, of: 4 } });
    await inPhase('ready');
    expect(world.steps.slice(2)).toEqual([
      { digest: 'e'.repeat(64), step: 2 },
      { digest: 'e'.repeat(64), step: 3 },
    ]);
    await handle.signal('release', { leaseId: lease.leaseId });
    await handle.result();
    await Promise.all([close(pool.leaseId), close(lease.leaseId)]);
  });

  test('goes when the lease that it is held for is no more', async () => {
    const pool = await listener(name('p'));
    const { world, handle, inPhase } = await startMachine(name('w'), pool.holder);
    await inPhase('warm');
    await handle.signal('hold', { leaseId: 'gone', holder: 'lease/gone', ttlMs: 60_000 });
    expect(await handle.result()).toMatchObject({ phase: 'gone', cause: 'leaseClosed' });
    expect(world.owned()).toEqual([]);
    await close(pool.leaseId);
  });

  test('goes when its pool is no more', async () => {
    const { world, handle } = await startMachine(name('w'), poolWorkflowId('none'));
    expect(await handle.result()).toMatchObject({ phase: 'gone', cause: 'retired' });
    expect(world.owned()).toEqual([]);
  });

  test('that is told to retire stays with its lease, and then goes', async () => {
    const pool = await listener(name('p'));
    const lease = await listener(name('l'));
    const { handle, status, inPhase } = await startMachine(name('w'), pool.holder);
    await inPhase('warm');
    await handle.signal('hold', lease);
    await handle.signal('retire', { why: 'drained' });
    await until('it knows', async () => (await status()).pool?.retiring === 'drained');
    await handle.signal('release', { leaseId: lease.leaseId });
    expect(await handle.result()).toMatchObject({ phase: 'gone', cause: 'released' });
    expect((await status()).phases.map(({ phase }) => phase)).toContain('ready');
    await Promise.all([close(pool.leaseId), close(lease.leaseId)]);
  });

  test('notes what it cannot read, and goes on', async () => {
    const pool = await listener(name('p'));
    const { handle, inPhase } = await startMachine(name('w'), pool.holder);
    await inPhase('warm');
    await handle.signal('hold', { leaseId: 'A B' });
    await handle.signal('retire', 'now');
    await handle.signal('retire', { why: 'enough' });
    expect(await handle.result()).toMatchObject({ phase: 'gone', cause: 'retired' });
    await close(pool.leaseId);
  });
});
