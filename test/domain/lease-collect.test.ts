import { describe, expect, test } from 'vitest';
import type { Reason } from '../../src/domain/failure.ts';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import { collectPatienceMs, collectWithinMs, isCollectGivenUp } from '../../src/domain/lease-collect.ts';
import { applyLease, bornLease, type LeaseEvent, type LeaseLife } from '../../src/domain/lease-life.ts';
import {
  leaseDeadlineMs,
  leaseResultOf,
  leaseStateOf,
  leaseStatusOf,
  nextLeaseAction,
} from '../../src/domain/lease-next.ts';
import type { MachineReport } from '../../src/domain/machine-report.ts';
import type { CollectedFile } from '../../src/domain/transfer.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { fakeResult } from '../support/fake-result.ts';

const request: LeaseRequest = { leaseId: 'web', bundle: 'hello', job: { command: ['true'] }, collect: ['~/a', '/b'] };
const access = { machineId: 'web.1', address: '::1', port: 22, user: 'root', hostKey: 'k', fingerprint: 'f' };
const says = (state: MachineReport['state'], rest: Partial<MachineReport> = {}): LeaseEvent => ({
  type: 'machineReported',
  report: { machineId: 'web.1', key: 'k', state, phases: [], access, ...rest },
});
const ready: readonly LeaseEvent[] = [
  { type: 'resolved', plan: fakePlan() },
  { type: 'machineStarted', machineId: 'web.1', provider: 'one' },
  says('ready'),
];
const runs: readonly LeaseEvent[] = [...ready, { type: 'taskStarted', taskId: 'job' }];
const exits = (code: number): LeaseEvent => ({ type: 'taskEnded', result: fakeResult('job', ['true'], code) });
const begins: LeaseEvent = { type: 'collectStarted' };
const missing: Reason = { type: 'NotFound', message: 'there is no /b' };
const files: readonly CollectedFile[] = [
  { path: '~/a', bytes: 3, sha256: 'f'.repeat(64), tree: false },
  { path: '/b', reason: missing },
];
const comes: LeaseEvent = { type: 'collected', files };
const cancel: LeaseEvent = { type: 'end', state: 'cancelled' };

/** All at once, at second 9. */
const after = (of: LeaseRequest, ...events: readonly LeaseEvent[]): LeaseLife =>
  events.reduce((life, event) => applyLease(life, event, 9_000), bornLease(of, 0));

describe('a lease that collects files', () => {
  test('does so when its job has ended, before it gives the machine back, and tells them', () => {
    expect(nextLeaseAction(after(request, ...runs))).toBeUndefined();
    const ended = after(request, ...runs, exits(1));
    expect(nextLeaseAction(ended)).toEqual({ do: 'collect' });
    const begun = applyLease(ended, begins, 9_000);
    expect([nextLeaseAction(begun), leaseStatusOf(begun).collected]).toEqual([undefined, undefined]);
    const done = applyLease(begun, comes, 9_500);
    expect(nextLeaseAction(done)).toEqual({ do: 'releaseMachine', machineId: 'web.1' });
    expect(leaseStatusOf(done).collected).toEqual(files);
    expect(leaseResultOf(done)).toMatchObject({ state: 'released', job: { exitCode: 1 }, collected: files });
  });

  test('does so while the machine is kept for a look, and once', () => {
    const held = after({ ...request, holdOnFailureMs: 60_000 }, ...runs, exits(1));
    expect([leaseStateOf(held), nextLeaseAction(held)]).toEqual(['held', { do: 'collect' }]);
    const done = applyLease(applyLease(held, begins, 9_000), comes, 9_500);
    expect(nextLeaseAction(done)).toBeUndefined();
    const over = applyLease(done, { type: 'deadline' }, 69_000);
    expect(nextLeaseAction(over)).toEqual({ do: 'releaseMachine', machineId: 'web.1' });
  });

  test('without a job does so when it ends', () => {
    const { job: _none, ...rest } = request;
    const held = after(rest, ...ready);
    expect(nextLeaseAction(held)).toBeUndefined();
    expect(nextLeaseAction(applyLease(held, cancel, 9_000))).toEqual({ do: 'collect' });
  });

  test('does so after it was cancelled too, but not for long', () => {
    const stopped = after(request, ...runs, cancel, { type: 'taskTold', taskId: 'job', what: 'cancel' }, exits(143));
    expect(nextLeaseAction(stopped)).toEqual({ do: 'collect' });
    const begun = applyLease(stopped, begins, 20_000);
    expect(leaseDeadlineMs(begun)).toBe(20_000 + collectPatienceMs);
    const late = applyLease(begun, { type: 'deadline' }, 20_000 + collectPatienceMs);
    expect([isCollectGivenUp(begun), isCollectGivenUp(late), leaseDeadlineMs(late)]).toEqual([false, true, undefined]);
    // What is on its way is left first.
    expect(nextLeaseAction(late)).toBeUndefined();
  });

  test('has long for it when nobody wants its end, and is hurried by who does', () => {
    const begun = after(request, ...runs, exits(0), begins);
    expect(leaseDeadlineMs(begun)).toBe(9_000 + collectWithinMs);
    const hurried = applyLease(begun, cancel, 60_000);
    expect(leaseDeadlineMs(hurried)).toBe(60_000 + collectPatienceMs);
    expect(leaseDeadlineMs(applyLease(hurried, cancel, 70_000))).toBe(60_000 + collectPatienceMs);
    // Its end stands: the job was over.
    expect(leaseResultOf(hurried).state).toBe('released');
    expect(leaseDeadlineMs(applyLease(begun, { type: 'end', state: 'released' }, 60_000))).toBe(
      9_000 + collectWithinMs,
    );
  });

  test('that expires while it does so gives up soon after', () => {
    const held = { ...request, holdAfterJobMs: 7_200_000, ttlMs: 60_000 };
    const begun = after(held, ...runs, exits(0), begins);
    const expired = applyLease(begun, { type: 'deadline' }, 69_000);
    expect([leaseStateOf(expired), leaseDeadlineMs(expired)]).toEqual(['releasing', 69_000 + collectPatienceMs]);
  });

  test('waits for no more when its machine is lost, and says of each path that it went with it', () => {
    const begun = after(request, ...runs, exits(0), begins);
    expect(isCollectGivenUp(applyLease(begun, says('reclaiming'), 10_000))).toBe(true);
    const lost = after(request, ...runs, says('reclaiming', { reason: { type: 'GuestLost', message: 'no answer' } }));
    const told = applyLease(lost, { type: 'taskClosed', taskId: 'job', message: 'lost' }, 10_000);
    expect(nextLeaseAction(told)).not.toEqual({ do: 'collect' });
    expect(leaseResultOf(told).collected).toEqual(
      ['~/a', '/b'].map((path) => ({
        path,
        reason: { type: 'GuestLost', message: `${path} went with its machine: no answer` },
      })),
    );
  });

  test('that never got ready tells nothing of them', () => {
    const failed = after(
      { ...request, attempts: 1 },
      ...ready.slice(0, 2),
      says('gone', { reason: { type: 'GuestNeverReady', message: 'never' } }),
    );
    expect(nextLeaseAction(failed)).toEqual({ do: 'finish' });
    expect(leaseResultOf(failed)).not.toHaveProperty('collected');
  });
});
