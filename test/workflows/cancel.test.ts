import { CancelledFailure, WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MachineStatus } from '../../src/domain/lease.ts';
import type { TaskResult } from '../../src/domain/task.ts';
import type { ActivityName } from '../support/fake-world.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, job, statusName, steps, update, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const whole = fakePlan({ steps, gate: 'command' });
/** A state is where the lease is while one activity waits. */
const states: readonly ActivityName[] = [
  'resolveBundle',
  'createMachine',
  'awaitRunning',
  'awaitAccessible',
  'runStep',
  'awaitGate',
  'followTask',
  'destroyMachine',
];

async function leaseIn(state: ActivityName): Promise<Leased> {
  const leased = await bench.lease({ job, attempts: 1 }, (world) => {
    world.plan = whole;
    world.hold(state);
    // Before ready: a lease that has released its machine has ended.
    if (state === 'destroyMachine')
      world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
  });
  await leased.world.isHeld(state);
  return leased;
}

/** A local activity hears of nothing, and a destroy is never given up. */
const goesOn = new Set<ActivityName>(['resolveBundle', 'destroyMachine']);

describe.concurrent.each(states)('a lease cancelled while %s is under way', (state) => {
  test('by the signal ends as cancelled, and owns nothing', async () => {
    const leased = await leaseIn(state);
    await leased.handle.signal('cancel', { reason: 'no longer needed' });
    if (goesOn.has(state)) leased.world.letGo(state);
    const result = await leased.handle.result().catch((error: unknown) => error);
    if (state === 'destroyMachine') {
      // Its only machine had failed before: whichever word came first stands.
      if (result instanceof WorkflowFailedError) expect(await statusName(leased)).toBe('FAILED');
      else expect(result).toMatchObject({ state: 'cancelled' });
    } else {
      expect(result).toMatchObject({ state: 'cancelled' });
      expect(await statusName(leased)).toBe('COMPLETED');
    }
    if (state === 'followTask')
      expect(result).toMatchObject({ job: { state: 'cancelled', cancelled: true, exitCode: 143, signal: 'TERM' } });
    await bench.over(leased);
    expect(leased.world.machines.size).toBeLessThanOrEqual(1);
  });

  test("by Temporal's own cancel ends as Canceled, in the same order", async () => {
    const leased = await leaseIn(state);
    await leased.handle.cancel();
    if (goesOn.has(state)) leased.world.letGo(state);
    const error: unknown = await leased.handle.result().catch((thrown: unknown) => thrown);
    if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof CancelledFailure)) throw error;
    expect(await statusName(leased)).toBe('CANCELLED');
    if (state === 'followTask') {
      expect((await bench.status(leased.leaseId)).tasks[0]?.result).toMatchObject({ cancelled: true });
      // The children heard of it from the lease alone.
      expect(await bench.task(leased.leaseId).result()).toMatchObject({ state: 'cancelled' });
    }
    await bench.over(leased);
  });

  test('and terminated instead leaves no machine and no task behind', async () => {
    const leased = await leaseIn(state);
    await leased.handle.terminate('by hand');
    // Before ready too its machine sees for itself that nobody wants it any more.
    if (goesOn.has(state)) leased.world.letGo(state);
    await bench.over(leased);
    if (state === 'resolveBundle') expect(leased.world.machines.size).toBe(0);
    else if (state === 'followTask' || state === 'destroyMachine')
      expect(await statusName({ handle: bench.machine(leased.leaseId) })).toBe('COMPLETED');
    else expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone', cause: 'leaseClosed' });
  });
});

describe.concurrent.each(['manual', 'all', 'any'] as const)('a lease with the ready gate %s', (gate) => {
  test('that is terminated while a person is awaited is noticed by its machine', async () => {
    const leased = await bench.lease({}, (world) => {
      world.plan = fakePlan({ gate });
      // Of `any` the command must not be enough, nor fail.
      if (gate === 'any') world.hold('awaitGate');
    });
    const readying = async (): Promise<boolean> =>
      (await bench.machine(leased.leaseId).query<MachineStatus>('status')).phase === 'readying';
    await until('the machine waits for a word', () => readying().catch(() => false));
    await leased.handle.terminate('by hand');
    expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone', cause: 'leaseClosed' });
    await bench.over(leased);
  });
});

describe.concurrent('a lease that is ready', () => {
  test('and cancelled by the signal ends as cancelled', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    await leased.handle.signal('cancel');
    expect(await leased.handle.result()).toMatchObject({ state: 'cancelled' });
    await bench.over(leased);
  });

  test("and cancelled by Temporal's own cancel ends as Canceled", async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    await leased.handle.cancel();
    await leased.handle.result().catch(() => undefined);
    expect(await statusName(leased)).toBe('CANCELLED');
    await bench.over(leased);
  });

  test('and terminated is noticed by its machine, and its running task is lost', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    await leased.handle.terminate('by hand');
    expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone', cause: 'leaseClosed' });
    expect(await bench.task(leased.leaseId).result()).toMatchObject({ state: 'lost', lost: true });
    await bench.over(leased);
  });

  test('and cancelled twice, by both ways, ends once', async () => {
    const leased = await bench.lease({ job }, (world) => {
      world.hold('followTask');
      world.hold('killTask');
    });
    await leased.world.isHeld('followTask');
    await leased.handle.signal('cancel');
    await leased.world.isHeld('killTask');
    await leased.handle.cancel();
    await leased.handle.cancel();
    leased.world.letGo('killTask');
    await leased.handle.result().catch(() => undefined);
    expect(await statusName(leased)).toBe('CANCELLED');
    await bench.over(leased);
    expect(leased.world.count('killTask')).toBe(1);
  });
});

test('a create that hears no cancellation is waited for, and what it made is destroyed', async () => {
  const leased = await bench.lease({ job }, (world) => {
    world.stubborn.add('createMachine');
    world.hold('createMachine');
  });
  const { world } = leased;
  await world.isHeld('createMachine');
  await leased.handle.signal('cancel');
  expect(await leased.handle.result()).toMatchObject({ state: 'cancelled' });
  expect(world.count('destroyMachine')).toBe(0);
  world.letGo('createMachine');
  await bench.over(leased);
  expect(world.calls.slice(-2)).toEqual(['createMachine', 'destroyMachine']);
  expect([...world.machines.values()]).toMatchObject([{ state: 'destroyed' }]);
});

describe.concurrent('a machine', () => {
  test('that the watch says is lost ends its task as lost, and fails its lease', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    leased.world.lost.set(`${leased.leaseId}.1`, { type: 'GuestLost', message: 'it was deleted at the provider' });
    const { type, result } = await failed(leased);
    expect(type).toBe('GuestLost');
    expect(result.attempts).toHaveLength(1);
    expect(result.job).toMatchObject({ state: 'lost', exitCode: null });
    await bench.over(leased);
  });

  test('that is terminated fails its lease as GuestLost, and an orphan is reclaimed under its id', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    const machine = bench.machine(leased.leaseId);
    const [run] = await bench.runsOf(machine.workflowId);
    await machine.terminate('by hand');
    const { type, result } = await failed(leased);
    expect(type).toBe('GuestLost');
    expect(result.job).toMatchObject({ state: 'lost' });
    expect(await bench.task(leased.leaseId).result()).toMatchObject({ state: 'lost' });
    expect(leased.world.owned()).toEqual([`${leased.leaseId}.1`]);
    const payload = run?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
    const { holder: _, ...input } = JSON.parse(Buffer.from(payload ?? []).toString()) as Record<string, unknown>;
    await bench.client.workflow.execute('machine', {
      taskQueue: bench.taskQueue,
      workflowId: machine.workflowId,
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      args: [{ ...input, reclaimOnly: {} }],
    });
    await bench.over(leased);
  });

  test('that is terminated before it is ready is followed by another', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('awaitAccessible'));
    await leased.world.isHeld('awaitAccessible');
    await bench.machine(leased.leaseId).terminate('by hand');
    leased.world.letGo('awaitAccessible');
    expect(await leased.handle.result()).toMatchObject({
      state: 'released',
      attempts: [{ reason: { type: 'GuestLost' } }, {}],
    });
    // The first one is an orphan, for the sweep.
    const owned = [`${leased.leaseId}.1`];
    await until('the second one gone', () => JSON.stringify(leased.world.owned()) === JSON.stringify(owned));
  });

  test("that is cancelled by Temporal's own cancel reclaims itself, and its lease fails", async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    await bench.machine(leased.leaseId).cancel();
    expect((await failed(leased)).type).toBe('GuestLost');
    await bench.over(leased);
  });
});

describe.concurrent('a task', () => {
  test('that is terminated is lost, and so is the lease that exists for it', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    await bench.task(leased.leaseId).terminate('by hand');
    const { type, result } = await failed(leased);
    expect(type).toBe('GuestLost');
    expect(result.job).toMatchObject({ state: 'lost' });
    leased.world.letGo('followTask');
    await bench.over(leased);
  });

  test('that is terminated is lost, and a lease that was held for more goes on', async () => {
    const leased = await bench.lease({}, (world) => world.hold('followTask'));
    await waitReady(leased);
    await update(leased, 'runTask', { taskId: 'a', spec: { command: ['true'] } });
    await leased.world.isHeld('followTask');
    await bench.task(leased.leaseId, 'a').terminate('by hand');
    await until('lost', async () => (await bench.status(leased.leaseId)).tasks[0]?.state === 'lost');
    expect((await bench.status(leased.leaseId)).state).toBe('ready');
    leased.world.letGo('followTask');
    await update(leased, 'release');
    await bench.over(leased);
  });

  test.each(['signal', 'temporal'] as const)('that is cancelled by %s ends as cancelled', async (way) => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    const task = bench.task(leased.leaseId);
    await (way === 'signal' ? task.signal('cancel', { reason: 'too long' }) : task.cancel());
    expect(await leased.handle.result()).toMatchObject({
      state: 'released',
      job: { state: 'cancelled', exitCode: 143 } satisfies Partial<TaskResult>,
    });
    await bench.over(leased);
  });
});
