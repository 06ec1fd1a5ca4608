import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseStatus, MachineStatus, TaskSummary } from '../../src/domain/lease.ts';
import type { Tuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, steps, update, waitReady } from './kit.ts';

/** What every lease must do, however often its workflows continue as new. */
export function mainShapes(tuning: Tuning): void {
  let bench: LeaseBench;
  beforeAll(async () => {
    bench = await startLeaseBench(tuning);
  });
  afterAll(() => bench.stop());

  describe.concurrent('a lease with a job', () => {
    test('runs it, gives the machine back, and completes with its result', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.jobExit = 7;
        world.plan = fakePlan({ steps, gate: 'command' });
      });
      const result = await leased.handle.result();
      expect(result).toMatchObject({
        state: 'released',
        bundle: { name: 'hello' },
        attempts: [{ provider: 'fake' }],
        job: { exitCode: 7, state: 'exited' },
      });
      expect(Object.keys(result.times)).toEqual(['requested', 'ready', 'expires', 'releasing', 'ended']);
      await bench.over(leased);
      expect(leased.world.count('runStep')).toBe(2);
      expect(leased.world.forgotten).toEqual([]);
      expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone', cause: 'released' });
    });

    test('whose machine answers at once waits for nothing more', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.atOnce = true;
        world.plan = fakePlan({ steps });
      });
      await leased.handle.result();
      await bench.over(leased);
      expect(leased.world.count('awaitRunning') + leased.world.count('awaitAccessible')).toBe(0);
      const { phases, facts } = await bench.machine(leased.leaseId).query<MachineStatus>('status');
      expect(facts).toEqual({ image: 'debian', kernel: '6.1' });
      expect(phases.slice(0, 4).map(({ phase }) => phase)).toEqual([
        'provisioning',
        'loading',
        'waiting',
        'customizing',
      ]);
    });

    test('whose machine never gets ready takes a new one', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
      });
      const result = await leased.handle.result();
      expect(result.attempts.map((attempt) => attempt.phase)).toEqual(['gone', 'reclaiming']);
      expect(result.attempts[0]?.reason).toMatchObject({ type: 'GuestNeverReady' });
      await bench.over(leased);
      expect(leased.world.overlaps).toEqual([]);
    });

    test('whose step fails each time is failed, with both attempts and the step named', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.plan = fakePlan({ steps });
        world.stepFailure = { 1: 3 };
      });
      const { type, result } = await failed(leased);
      expect(type).toBe('CustomizeFailed');
      expect(result).toMatchObject({ state: 'failed', reason: { type: 'CustomizeFailed' } });
      expect(result.reason?.message).toContain('step 2 of 2 failed: two: exit 3');
      expect(result.attempts).toHaveLength(2);
      for (const attempt of result.attempts)
        expect(attempt).toMatchObject({ phase: 'gone', failedStep: { step: 1, title: 'two', exitCode: 3 } });
      expect(result.job).toBeUndefined();
      await bench.over(leased);
    });

    test('goes on when a step may fail', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.plan = fakePlan({ steps: steps.map((step) => ({ ...step, allowFailure: true })) });
        world.stepFailure = { 0: 3 };
      });
      expect(await leased.handle.result()).toMatchObject({ state: 'released' });
      await bench.over(leased);
    });

    test('goes to the next variant when a place has no room', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.plan = fakePlan({ variants: ['one', 'two'] });
        world.faults = [{ activity: 'createMachine', side: 'before', type: 'CapacityUnavailable' }];
      });
      const { attempts } = await leased.handle.result();
      expect(attempts.map((attempt) => attempt.provider)).toEqual(['one', 'two']);
      await bench.over(leased);
    });

    test('ends at once when the host key is another', async () => {
      const leased = await bench.lease({ job }, (world) => {
        world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'HostKeyMismatch' }];
      });
      const { type, result } = await failed(leased);
      expect(type).toBe('HostKeyMismatch');
      expect(result.attempts).toHaveLength(1);
      await bench.over(leased);
    });

    test('forgets what the caller sealed for it', async () => {
      const leased = await bench.lease({ job: { ...job, secretEnv: { TOKEN: 'lease:TOKEN' } } });
      await leased.handle.result();
      expect(leased.world.forgotten).toEqual([leased.leaseId]);
    });

    test('is kept after a failed job as long as it was asked, or until it is given back', async () => {
      const leased = await bench.lease({ job, holdOnFailureMs: 3_600_000 }, (world) => (world.jobExit = 1));
      await until('held', async () => (await bench.status(leased.leaseId)).state === 'held');
      await update(leased, 'release');
      expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 1 } });
      await bench.over(leased);
    });

    test('is released by itself when the time that it was kept is over', async () => {
      const leased = await bench.lease({ job, holdAfterJobMs: 300 });
      const { times } = await leased.handle.result();
      const job_ = (await bench.status(leased.leaseId)).tasks[0]?.result;
      expect(job_?.exitCode).toBe(0);
      expect(Date.parse(times.releasing ?? '') - Date.parse(times.ready ?? '')).toBeGreaterThanOrEqual(300);
      await bench.over(leased);
    });

    test('has its last failed machine kept for a look, with the way in', async () => {
      const leased = await bench.lease({ job, holdOnFailureMs: 3_600_000, attempts: 1 }, (world) => {
        world.plan = fakePlan({ steps });
        world.stepFailure = { 0: 1 };
      });
      const held = await waitReady(leased);
      expect(held).toMatchObject({ state: 'held', access: { port: 22 }, attempts: [{ phase: 'held' }] });
      await update(leased, 'release');
      expect((await failed(leased)).type).toBe('CustomizeFailed');
      await bench.over(leased);
    });
  });

  describe.concurrent('a lease without a job', () => {
    test('is held until it is released', async () => {
      const leased = await bench.lease();
      const ready = await waitReady(leased);
      expect(ready).toMatchObject({ state: 'ready', access: { machineId: `${leased.leaseId}.1` } });
      expect(Date.parse(ready.times.expires ?? '') - Date.parse(ready.times.ready ?? '')).toBe(3_600_000);
      expect(await update<LeaseStatus>(leased, 'release', { reason: 'done' })).toMatchObject({ state: 'releasing' });
      expect(await leased.handle.result()).toMatchObject({ state: 'released' });
      await bench.over(leased);
    });

    test('expires when its time is over', async () => {
      const leased = await bench.lease({ ttlMs: 300 });
      expect(await leased.handle.result()).toMatchObject({ state: 'expired' });
      await bench.over(leased);
    });

    test('is failed when it was not ready in time', async () => {
      const leased = await bench.lease({ acquireWithinMs: 300 }, (world) => world.hold('awaitAccessible'));
      const { type, result } = await failed(leased);
      expect(type).toBe('GuestNeverReady');
      expect(result.reason?.message).toContain('not ready within 0.3 s');
      await bench.over(leased);
    });

    test('runs a task once for one id, and refuses the id with another body', async () => {
      const leased = await bench.lease();
      const { world } = leased;
      await waitReady(leased);
      world.hold('followTask');
      const body = { taskId: 'build', spec: { command: ['make'] } };
      const first = await update<TaskSummary>(leased, 'runTask', body);
      expect(first).toMatchObject({ taskId: 'build', command: ['make'] });
      await world.isHeld('followTask');
      expect(await update<TaskSummary>(leased, 'runTask', body)).toMatchObject({ taskId: 'build', state: 'running' });
      expect(await refusal(update(leased, 'runTask', { ...body, spec: { command: ['make', 'all'] } }))).toMatchObject({
        type: 'IdConflict',
      });
      expect((await bench.status(leased.leaseId)).state).toBe('working');
      world.letGo('followTask');
      expect(await bench.task(leased.leaseId, 'build').result()).toMatchObject({ exitCode: 0 });
      await until('ready', async () => (await bench.status(leased.leaseId)).state === 'ready');
      const again = await update<TaskSummary>(leased, 'runTask', body);
      expect(again).toMatchObject({ state: 'exited', result: { exitCode: 0 } });
      const tasks = await leased.handle.query<TaskSummary[]>('tasks');
      expect(tasks.map(({ taskId, state }) => ({ taskId, state }))).toEqual([{ taskId: 'build', state: 'exited' }]);
      await update(leased, 'release');
      await bench.over(leased);
      expect(world.count('followTask')).toBe(1);
    });

    test('takes a task before it is ready, and starts it then', async () => {
      const leased = await bench.lease({}, (world) => world.hold('awaitAccessible'));
      await leased.world.isHeld('awaitAccessible');
      const body = { taskId: 'early', spec: { command: ['true'] } };
      expect(await update<TaskSummary>(leased, 'runTask', body)).toMatchObject({ state: 'pending' });
      leased.world.letGo('awaitAccessible');
      await until('the task has ended', async () => (await bench.status(leased.leaseId)).tasks[0]?.state === 'exited');
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('names every mistake of a task, an extension or a release', async () => {
      const leased = await bench.lease();
      await waitReady(leased);
      const task = await refusal(update(leased, 'runTask', { taskId: 'No!', spec: { command: [] }, more: 1 }));
      expect(task.type).toBe('InvalidRequest');
      for (const text of ['taskId', 'spec.command', 'more']) expect(task.message).toContain(text);
      expect(await refusal(update(leased, 'extend', { byMs: 1, untilMs: 2 }))).toMatchObject({
        type: 'InvalidRequest',
      });
      expect(await refusal(update(leased, 'release', { why: 1 }))).toMatchObject({ type: 'InvalidRequest' });
      expect((await refusal(update(leased, 'reboot'))).message).toContain('known: open, waitReady');
      await leased.handle.signal('cancel', { why: 1 });
      await leased.handle.signal('reboot');
      await until('two refused', async () => (await bench.status(leased.leaseId)).refused?.length === 2);
      expect((await bench.status(leased.leaseId)).refused?.join()).toContain('unknown signal reboot');
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('that has ended takes neither task nor extension', async () => {
      const leased = await bench.lease({ ttlMs: 86_400_000 }, (world) => world.hold('followTask'));
      await waitReady(leased);
      await update(leased, 'runTask', { taskId: 'a', spec: { command: ['true'] } });
      await leased.world.isHeld('followTask');
      leased.world.hold('killTask');
      await update(leased, 'release');
      const task = { taskId: 'b', spec: { command: ['true'] } };
      expect(await refusal(update(leased, 'runTask', task))).toMatchObject({ type: 'Gone' });
      expect(await refusal(update(leased, 'extend', { byMs: 1 }))).toMatchObject({ type: 'Gone' });
      leased.world.letGo('killTask');
      await leased.handle.result();
      await bench.over(leased);
    });
  });

  describe.concurrent('an extension', () => {
    test('is answered when the machine has it, and holds from then on', async () => {
      const leased = await bench.lease();
      const before = await waitReady(leased);
      const after = await update<LeaseStatus>(leased, 'extend', { byMs: 3_600_000 });
      const expires = Date.parse(after.times.expires ?? '');
      expect(expires - Date.parse(before.times.expires ?? '')).toBe(3_600_000);
      const machine = await bench.machineStatus(leased.leaseId);
      expect(Date.parse(machine.deadline ?? '')).toBe(expires + 120_000);
      const until_ = await update<LeaseStatus>(leased, 'extend', { untilMs: expires + 1_000 });
      expect(Date.parse(until_.times.expires ?? '')).toBe(expires + 1_000);
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('beyond the maximum of the bundle, or to less than there is, is refused', async () => {
      const leased = await bench.lease({}, (world) => (world.plan = fakePlan({ maxTtlMs: 7_200_000 })));
      const { times } = await waitReady(leased);
      const most = await refusal(update(leased, 'extend', { byMs: 3_600_001 }));
      expect(most.type).toBe('InvalidRequest');
      expect(most.message).toContain(new Date(Date.parse(times.ready ?? '') + 7_200_000).toISOString());
      expect((await refusal(update(leased, 'extend', { untilMs: Date.now() }))).message).toContain(
        'already lasts until',
      );
      await update(leased, 'extend', { byMs: 3_600_000 });
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('before ready is refused: its time counts from ready', async () => {
      const leased = await bench.lease({}, (world) => world.hold('awaitRunning'));
      await leased.world.isHeld('awaitRunning');
      expect((await refusal(update(leased, 'extend', { byMs: 1 }))).message).toContain('not ready yet');
      leased.world.letGo('awaitRunning');
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('beside another adds up', async () => {
      const leased = await bench.lease();
      const { times } = await waitReady(leased);
      await Promise.all([1, 2, 3].map(() => update(leased, 'extend', { byMs: 60_000 })));
      const after = await bench.status(leased.leaseId);
      expect(Date.parse(after.times.expires ?? '') - Date.parse(times.expires ?? '')).toBe(180_000);
      await update(leased, 'release');
      await bench.over(leased);
    });
  });

  describe.concurrent('a lease with a manual gate', () => {
    const manual = fakePlan({ gate: 'manual' });

    test('is ready when a person says so', async () => {
      const leased = await bench.lease({}, (world) => (world.plan = manual));
      await until(
        'readying',
        async () => (await bench.machineStatus(leased.leaseId).catch(() => undefined))?.phase === 'readying',
      );
      expect((await bench.status(leased.leaseId)).state).toBe('acquiring');
      await leased.handle.signal('markReady', { result: 0 });
      expect(await waitReady(leased)).toMatchObject({ state: 'ready' });
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('takes a new machine when a person says that it is not', async () => {
      const leased = await bench.lease({}, (world) => (world.plan = manual));
      const readying = (attempt: number) => async () =>
        (await bench.machineStatus(leased.leaseId, attempt).catch(() => undefined))?.phase === 'readying';
      await until('readying', readying(1));
      await leased.handle.signal('markReady', { result: 1, message: 'no licence' });
      await until('the second one readying', readying(2));
      const { attempts } = await bench.status(leased.leaseId);
      expect(attempts[0]).toMatchObject({ phase: 'gone', reason: { message: 'marked not ready: no licence' } });
      await leased.handle.signal('markReady');
      await waitReady(leased);
      await update(leased, 'release');
      await bench.over(leased);
    });
  });

  describe.concurrent('a lease with a gate of several parts', () => {
    const attempt = (leased: Awaited<ReturnType<typeof bench.lease>>, phase: string) =>
      until(phase, async () => (await bench.machineStatus(leased.leaseId).catch(() => undefined))?.phase === phase);
    const held = (gate: 'all' | 'any') => (world: FakeWorld) => {
      world.plan = fakePlan({ gate });
      world.hold('awaitGate');
    };

    test('is ready when its commands have passed and a person has said so, in either order', async () => {
      for (const first of ['command', 'word'] as const) {
        const leased = await bench.lease({}, held('all'));
        await leased.world.isHeld('awaitGate');
        if (first === 'command') leased.world.letGo('awaitGate');
        else await leased.handle.signal('markReady', { result: 0 });
        expect((await bench.machineStatus(leased.leaseId)).phase).toBe('readying');
        if (first === 'word') leased.world.letGo('awaitGate');
        else await leased.handle.signal('markReady', { result: 0 });
        expect(await waitReady(leased)).toMatchObject({ state: 'ready' });
        await update(leased, 'release');
        await bench.over(leased);
      }
    });

    test('is ready by whichever comes first where any is enough', async () => {
      for (const first of ['command', 'word'] as const) {
        const leased = await bench.lease({}, held('any'));
        await leased.world.isHeld('awaitGate');
        if (first === 'command') leased.world.letGo('awaitGate');
        else await leased.handle.signal('markReady', { result: 0 });
        expect(await waitReady(leased)).toMatchObject({ state: 'ready' });
        await update(leased, 'release');
        await bench.over(leased);
      }
    });

    test('fails at once by a word against it, whatever its commands do', async () => {
      for (const gate of ['all', 'any'] as const) {
        const leased = await bench.lease({ attempts: 1 }, held(gate));
        await leased.world.isHeld('awaitGate');
        await leased.handle.signal('markReady', { result: 1, message: 'no licence' });
        expect(await waitReady(leased)).toMatchObject({ reason: { message: 'marked not ready: no licence' } });
        await attempt(leased, 'gone');
        await bench.over(leased);
      }
    });

    test('waits for a word when its commands failed and any is enough', async () => {
      const leased = await bench.lease({}, (world) => {
        world.plan = fakePlan({ gate: 'any' });
        world.faults = [{ activity: 'awaitGate', side: 'before', type: 'GuestNeverReady' }];
      });
      await attempt(leased, 'readying');
      await leased.handle.signal('markReady', {});
      expect(await waitReady(leased)).toMatchObject({ state: 'ready', attempts: [{ phase: 'ready' }] });
      await update(leased, 'release');
      await bench.over(leased);
    });
  });

  describe.concurrent('a wait for ready', () => {
    test('of a dozen callers is answered to all of them', async () => {
      const leased = await bench.lease({}, (world) => world.hold('awaitAccessible'));
      const callers = Array.from({ length: 12 }, () => waitReady(leased));
      await leased.world.isHeld('awaitAccessible');
      leased.world.letGo('awaitAccessible');
      for (const answer of await Promise.all(callers)) expect(answer.state).toBe('ready');
      await update(leased, 'release');
      await bench.over(leased);
    });

    test('is answered with the end of the lease, however it ends', async () => {
      for (const end of ['signal', 'temporal', 'failure'] as const) {
        const leased = await bench.lease({ attempts: 1 }, (world) => {
          world.hold('awaitAccessible');
          world.faults = [{ activity: 'awaitRunning', side: 'before', retryable: true }];
        });
        const waiter = waitReady(leased);
        await leased.world.isHeld('awaitAccessible');
        if (end === 'signal') await leased.handle.signal('cancel', {});
        if (end === 'temporal') await leased.handle.cancel();
        if (end === 'failure') {
          leased.world.faults = [{ activity: 'awaitAccessible', side: 'after', type: 'GuestNeverReady' }];
          leased.world.letGo('awaitAccessible');
        }
        expect(['releasing', 'cancelled', 'failed']).toContain((await waiter).state);
        await leased.handle.result().catch(() => undefined);
        await bench.over(leased);
      }
    });
  });
}
