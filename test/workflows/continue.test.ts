import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseStatus, TaskStatus } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, steps, update, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench({ ...defaultTuning, continueEvery: 5 });
});
afterAll(() => bench.stop());

const advanced = (bytes: number) => ({ stdout: { bytes, tail: `${bytes}\n` }, stderr: { bytes: 0, tail: '' } });
const runs = async (workflowId: string): Promise<number> => (await bench.runsOf(workflowId)).length;

describe.concurrent('a life that is continued as new every five events', () => {
  test('takes at least three runs each of lease, machine and task, and ends as any other', async () => {
    const leased = await bench.lease({ job }, (world) => {
      world.plan = fakePlan({ steps, gate: 'command' });
      world.hold('followTask');
      world.jobExit = 3;
    });
    await leased.world.isHeld('followTask');
    const task = bench.task(leased.leaseId);
    for (const n of [1, 2, 3]) {
      const before = await runs(task.workflowId);
      await task.signal('outputAdvanced', advanced(n));
      await until('another run', async () => (await runs(task.workflowId)) > before);
      await leased.world.isHeld('followTask');
      expect((await task.query<TaskStatus>('status')).stdout).toEqual({ bytes: n, tail: `${n}\n` });
    }
    expect(await bench.status(leased.leaseId)).toMatchObject({ state: 'working', access: { port: 22 } });
    leased.world.letGo('followTask');
    expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 3 } });
    await bench.over(leased);
    for (const id of [leased.handle.workflowId, `machine/${leased.leaseId}.1`, task.workflowId])
      expect(await runs(id), id).toBeGreaterThanOrEqual(3);
    expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone', cause: 'released' });
    expect(leased.world.count('runStep')).toBe(2);
    expect(leased.world.count('createMachine')).toBe(1);
  });

  test('answers everybody whose wait one of its runs has taken, also when they ask after that run', async () => {
    const leased = await bench.lease({}, (world) => world.hold('awaitAccessible'));
    await leased.world.isHeld('awaitAccessible');
    for (let n = 0; n < 3; n += 1) {
      const before = await runs(leased.handle.workflowId);
      const waits = await Promise.all(
        Array.from({ length: 9 }, () =>
          leased.handle.startUpdate<LeaseStatus, [unknown]>('waitReady', { args: [{}], waitForStage: 'ACCEPTED' }),
        ),
      );
      await leased.handle.signal('poke');
      await until('another run', async () => (await runs(leased.handle.workflowId)) > before);
      const states = await Promise.all(waits.map(async (wait) => (await wait.result()).state));
      expect(states).toEqual(waits.map(() => 'acquiring'));
    }
    const callers = Array.from({ length: 12 }, () => waitReady(leased));
    leased.world.letGo('awaitAccessible');
    for (const { state } of await Promise.all(callers)) expect(state).toBe('ready');
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('keeps the first deadline of the machine and the whole timeline', async () => {
    const leased = await bench.lease();
    const ready = await waitReady(leased);
    const machine = await bench.machineStatus(leased.leaseId);
    expect(Date.parse(machine.deadline ?? '')).toBe(
      Date.parse(machine.since) + Date.parse(ready.times.expires ?? '') - Date.parse(ready.times.ready ?? '') + 120_000,
    );
    expect(machine.phases.map((time) => time.phase)).toEqual([
      'provisioning',
      'loading',
      'waiting',
      'readying',
      'ready',
    ]);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('knows an extension again that is sent a second time to a later run', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    const first = await update<LeaseStatus>(leased, 'extend', { byMs: 60_000 }, 'again');
    const second = await update<LeaseStatus>(leased, 'extend', { byMs: 60_000 }, 'again');
    expect(second.times.expires).toBe(first.times.expires);
    const untilMs = Date.parse(first.times.expires ?? '') + 60_000;
    await update(leased, 'extend', { untilMs }, 'until');
    const fourth = await update<LeaseStatus>(leased, 'extend', { untilMs }, 'until');
    expect(Date.parse(fourth.times.expires ?? '')).toBe(untilMs);
    expect(await runs(leased.handle.workflowId)).toBeGreaterThanOrEqual(3);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('knows a task again, and refuses its id with another body', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    const body = { taskId: 'build', spec: { command: ['make'] } };
    await update(leased, 'runTask', body);
    await until('the task has ended', async () => (await bench.status(leased.leaseId)).tasks[0]?.state === 'exited');
    const before = await runs(leased.handle.workflowId);
    expect(await update(leased, 'runTask', body)).toMatchObject({ state: 'exited' });
    const other = update(leased, 'runTask', { ...body, spec: { command: ['make', 'all'] } });
    expect(await refusal(other)).toMatchObject({ type: 'IdConflict' });
    expect(before).toBeGreaterThanOrEqual(2);
    await update(leased, 'release');
    await bench.over(leased);
    expect(leased.world.count('followTask')).toBe(1);
  });

  test('answers a request with the same body, and refuses another', async () => {
    const leased = await bench.lease({ metadata: { a: '1' } });
    await waitReady(leased);
    const request = { bundle: 'hello', leaseId: leased.leaseId, metadata: { a: '1' } };
    expect(await update(leased, 'open', { request })).toMatchObject({ state: 'ready' });
    const other = update(leased, 'open', { request: { ...request, ttlMs: 1 } });
    expect(await refusal(other)).toMatchObject({ type: 'IdConflict' });
    expect(await runs(leased.handle.workflowId)).toBeGreaterThanOrEqual(3);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test.each(['machine', 'task'] as const)('hears in a later run that its %s was terminated', async (which) => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    await until('watching', () => leased.world.count('watchChildren') > 0);
    await until('three runs', async () => (await runs(leased.handle.workflowId)) >= 3);
    await (which === 'task' ? bench.task(leased.leaseId) : bench.machine(leased.leaseId)).terminate('by hand');
    const { type, result } = await failed(leased);
    expect(type).toBe('GuestLost');
    expect(result.job).toMatchObject({ state: 'lost' });
    if (which === 'task') await bench.over(leased);
  });

  test('passes a cancel on in the middle of it', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    await leased.handle.cancel();
    await leased.handle.result().catch(() => undefined);
    expect((await leased.handle.describe()).status.name).toBe('CANCELLED');
    expect(await bench.task(leased.leaseId).result()).toMatchObject({ state: 'cancelled', exitCode: 143 });
    await bench.over(leased);
  });

  test('goes on with a kill that was cut off', async () => {
    const leased = await bench.lease({ job }, (world) => {
      world.hold('followTask');
      world.hold('killTask');
    });
    await leased.world.isHeld('followTask');
    const task = bench.task(leased.leaseId);
    await task.signal('cancel', {});
    await leased.world.isHeld('killTask');
    const before = await runs(task.workflowId);
    await task.signal('outputAdvanced', advanced(1));
    await until('another run', async () => (await runs(task.workflowId)) > before);
    leased.world.letGo('killTask');
    expect(await task.result()).toMatchObject({ state: 'cancelled' });
    await bench.over(leased);
  });

  test('is cut into legs, and launches its command once', async () => {
    const leased = await bench.lease({ job }, (world) => {
      world.tuning = { ...world.tuning, legMs: 300 };
      world.hold('followTask');
    });
    await until('four legs', () => leased.world.count('followTask') >= 4);
    leased.world.letGo('followTask');
    expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 0 } });
    await bench.over(leased);
    expect(await runs(`task/${leased.leaseId}/job`)).toBeGreaterThanOrEqual(3);
  });
});
