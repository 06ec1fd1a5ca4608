import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseResult, leaseStatus, notification } from '../../src/contract/answers.ts';
import { notifyWorkflowId } from '../../src/domain/ids.ts';
import type { NotifyEvent } from '../../src/domain/notify.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { hourMs, missing, timed, type Time } from '../support/timed.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, statusName, steps, waitReady } from './kit.ts';

const notify = { url: 'https://ci.example.com/hook/t0ken', secret: 'hook' };
const stranger = { event: 'ready', webhookId: 'x', target: notify, body: { type: 'lease.ready', timestamp: '' } };
const of = (leased: Pick<Leased, 'leaseId'>, event: NotifyEvent): string => notifyWorkflowId(leased.leaseId, event);
const told = ({ told: calls }: FakeWorld): readonly NotifyEvent[] => calls.map(({ event }) => event);
const datasOf = ({ world }: Leased) => Object.fromEntries(world.told.map(({ event, body }) => [event, body.data]));

describe.each([
  ['', defaultTuning],
  [' that continues as new', { ...defaultTuning, continueEvery: 5 }],
] as const)('a lease%s', (_name, tuning) => {
  let bench: LeaseBench;
  beforeAll(async () => {
    bench = await startLeaseBench(tuning);
  });
  afterAll(() => bench.stop());

  test('tells that it is ready, and its result, each once under an id of its own', async () => {
    const leased = await bench.lease({ job, notify });
    const result = await leased.handle.result();
    await bench.over(leased);
    const { world, handle } = leased;
    expect([...told(world)].sort()).toEqual(['ended', 'ready']);
    expect(world.told.map(({ webhookId }) => webhookId).sort()).toEqual([
      `${handle.firstExecutionRunId}-ended`,
      `${handle.firstExecutionRunId}-ready`,
    ]);
    for (const { target, body } of world.told) {
      expect(target).toEqual(notify);
      expect(notification.parse(body)).toEqual(body);
    }
    const { ready, ended } = datasOf(leased);
    expect(ended).toEqual(result);
    expect(leaseResult.parse(ended)).toMatchObject({ state: 'released', job: { exitCode: 0 } });
    expect(leaseStatus.parse(ready)).toMatchObject({
      leaseId: leased.leaseId,
      state: 'working',
      access: { port: 22 },
      tasks: [{ taskId: 'job' }],
      notify: { to: 'https://ci.example.com' },
    });
    expect(world.told.find(({ event }) => event === 'ready')?.body.timestamp).toBe(result.times.ready);
    expect(world.told.find(({ event }) => event === 'ended')?.body.timestamp).toBe(result.times.ended);
  });

  test('ends, and its machine goes, while nobody answers', async () => {
    const leased = await bench.lease({ job, notify }, (world) => world.hold('notify'));
    expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 0 } });
    await until('its machine is gone', () => leased.world.owned().length === 0);
    expect(told(leased.world)).toEqual([]);
    for (const event of ['ready', 'ended'] as const) expect(await bench.isClosed(of(leased, event))).toBe(false);
    leased.world.letGo('notify');
    await bench.over(leased);
    expect([...told(leased.world)].sort()).toEqual(['ended', 'ready']);
  });

  test('does not mind that it can tell nobody', async () => {
    const leased = await bench.lease({ job, notify }, (world) => {
      world.faults = [{ activity: 'notify', side: 'before', type: 'NotifyRefused', times: 2 }];
    });
    expect(await leased.handle.result()).toMatchObject({ state: 'released' });
    await bench.over(leased);
    expect(told(leased.world)).toEqual([]);
    const handle = bench.task(leased.leaseId).client.getHandle(of(leased, 'ended'));
    expect(await refusal(handle.result())).toMatchObject({ type: 'NotifyRefused' });
  });

  test('that was never ready tells its end only', async () => {
    const leased = await bench.lease({ attempts: 1, notify }, (world) => {
      world.plan = fakePlan({ steps });
      world.stepFailure = { 0: 3 };
    });
    const { type, result } = await failed(leased);
    expect(type).toBe('CustomizeFailed');
    await bench.over(leased);
    expect(datasOf(leased)).toEqual({ ended: result });
    expect(result).toMatchObject({ state: 'failed', reason: { type: 'CustomizeFailed' } });
  });

  test('cancelled by Temporal tells its end', async () => {
    const leased = await bench.lease({ notify });
    await waitReady(leased);
    await leased.handle.cancel();
    await leased.handle.result().catch(() => undefined);
    expect(await statusName(leased)).toBe('CANCELLED');
    await bench.over(leased);
    expect([...told(leased.world)].sort()).toEqual(['ended', 'ready']);
    expect(datasOf(leased)['ended']).toMatchObject({ state: 'cancelled' });
  });

  test('that is terminated says no more', async () => {
    const leased = await bench.lease({ notify });
    await waitReady(leased);
    await until('it has told that it is ready', () => told(leased.world).length === 1);
    await leased.handle.terminate('by hand');
    await bench.over(leased);
    expect(told(leased.world)).toEqual(['ready']);
  });

  test('goes on when a stranger has the id of its call', async () => {
    const leaseId = `stranger-${tuning.continueEvery ?? 0}`;
    const world = bench.world(leaseId);
    world.hold('notify');
    await bench.client.workflow.start('notify', {
      workflowId: notifyWorkflowId(leaseId, 'ready'),
      taskQueue: bench.taskQueue,
      args: [{ ...stranger, leaseId }],
    });
    await world.isHeld('notify');
    const leased = await bench.lease({ leaseId, job, notify });
    expect(await leased.handle.result()).toMatchObject({ state: 'released' });
    world.letGo('notify');
    await bench.over(leased);
    await until('both were told', () => world.told.length === 2);
    expect(world.told.map(({ webhookId }) => webhookId).sort()).toEqual([
      `${leased.handle.firstExecutionRunId}-ended`,
      'x',
    ]);
  });

  test.each([
    ['ftp://ci.example.com/', 'notify.url: must be an http or https URL'],
    ['nonsense', 'notify.url: must be an http or https URL'],
    ['https://me:pass@ci.example.com/', 'notify.url: must not hold credentials'],
    ['http://169.254.169.254/latest', 'notify.url: is an address that is never called'],
  ])('that names %s is refused', async (url, words) => {
    const leased = await bench.lease({ notify: { url, secret: 'hook' } });
    const { type, message } = await refusal(leased.handle.result());
    expect(type).toBe('InvalidRequest');
    expect(message).toContain(words);
    expect(leased.world.told).toEqual([]);
  });

  test('that names a secret of the caller’s own is refused: that is forgotten with the lease', async () => {
    const leased = await bench.lease({ notify: { ...notify, secret: 'lease:HOOK' } });
    expect((await refusal(leased.handle.result())).message).toContain('notify.secret: ');
  });
});

describe.skipIf(missing)('a receiver that does not answer', { timeout: 240_000 }, () => {
  /** Of a lease that is over long before. */
  async function tell({ client, taskQueue, worldOf }: Time, failures: number) {
    const leaseId = 'over';
    const world = worldOf(leaseId);
    world.faults = [{ activity: 'notify', side: 'before', type: 'NotifyUnanswered', retryable: true, times: failures }];
    const handle = await client.workflow.start('notify', {
      workflowId: notifyWorkflowId(leaseId, 'ended'),
      taskQueue,
      args: [{ ...stranger, leaseId }],
    });
    return { world, handle };
  }

  timed('for hours is told when it does, and the wait adds no event', async ({ time }) => {
    // 1 + 2 + 4 … s, then every quarter of an hour.
    const { world, handle } = await tell(time, 10 + 20);
    await time.skipTo(8 * hourMs, 'it is told', () => time.bench.isClosed(handle.workflowId));
    expect(await handle.result()).toEqual({ status: 204, tries: 1 });
    expect([told(world), world.count('notify')]).toEqual([['ready'], 31]);
    const [run] = await time.bench.runsOf(handle.workflowId);
    expect(run?.events?.length).toBeLessThanOrEqual(11);
  });

  timed('for a day is given up, with the last word', async ({ time }) => {
    const { world, handle } = await tell(time, Infinity);
    await time.skipTo(25 * hourMs, 'it is given up', () => time.bench.isClosed(handle.workflowId));
    const { type, message } = await refusal(handle.result());
    expect(type).toBe('NotifyUnanswered');
    expect(message).toBe('https://ci.example.com was not told within 24 h. Last: injected before notify');
    // No storm.
    expect(world.count('notify')).toBeGreaterThan(90);
    expect(world.count('notify')).toBeLessThan(120);
  });
});
