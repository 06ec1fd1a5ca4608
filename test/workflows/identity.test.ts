import { randomUUID } from 'node:crypto';
import {
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sameBody } from '../../src/domain/same.ts';
import type { lease } from '../../src/workflows/lease.ts';
import type { LeaseRequest, LeaseStatus } from '../../src/domain/lease.ts';
import { assertNoFailedTasks, startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { job, refusal, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const freshId = (): string => `l-${randomUUID().slice(0, 8)}`;

/** The one way to ask for a lease: with the conflict policy USE_EXISTING, the reuse policy REJECT_DUPLICATE, a fresh update id. */
function ask(request: LeaseRequest | Record<string, unknown>, workflowId = `lease/${String(request['leaseId'])}`) {
  const startWorkflowOperation = new WithStartWorkflowOperation<typeof lease>('lease', {
    taskQueue: bench.taskQueue,
    workflowId,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    args: [request],
  });
  return bench.client.workflow.executeUpdateWithStart<typeof lease, LeaseStatus, [unknown]>('open', {
    startWorkflowOperation,
    args: [{ request }],
  });
}

describe.concurrent('asking again with one id', () => {
  test('and the same body gives the same lease, whatever the order of its keys', async () => {
    const leaseId = freshId();
    const answers = await Promise.all([
      ask({ leaseId, bundle: 'hello', metadata: { a: '1', b: '2' } }),
      ask({ metadata: { b: '2', a: '1' }, bundle: 'hello', leaseId }),
      ask({ bundle: 'hello', leaseId, metadata: { a: '1', b: '2' } }),
    ]);
    for (const answer of answers) expect(answer).toMatchObject({ leaseId, state: 'acquiring' });
    const handle = bench.client.workflow.getHandle(`lease/${leaseId}`);
    expect(await bench.runsOf(handle.workflowId)).toHaveLength(1);
    await handle.signal('cancel');
    await handle.result();
  });

  test('and another body is refused, and the lease goes on', async () => {
    const leaseId = freshId();
    await ask({ leaseId, bundle: 'hello' });
    const other = await refusal(ask({ leaseId, bundle: 'hello', ttlMs: 1_000 }));
    expect(other).toMatchObject({ type: 'IdConflict' });
    expect(other.message).toContain(leaseId);
    expect((await bench.status(leaseId)).state).not.toBe('failed');
    await bench.client.workflow.getHandle(`lease/${leaseId}`).signal('cancel');
  });

  test('after its end starts no second run; the closed one still answers, and knows its body', async () => {
    const leased = await bench.lease({ job });
    const result = await leased.handle.result();
    const request = { bundle: 'hello', job, leaseId: leased.leaseId };
    await expect(ask(request)).rejects.toBeInstanceOf(WorkflowExecutionAlreadyStartedError);
    await expect(ask({ ...request, ttlMs: 1 })).rejects.toBeInstanceOf(WorkflowExecutionAlreadyStartedError);
    const handle: WorkflowHandle = bench.client.workflow.getHandle(leased.handle.workflowId);
    expect((await bench.status(leased.leaseId)).state).toBe('released');
    expect(await handle.result()).toEqual(result);
    const [run, ...more] = await bench.runsOf(handle.workflowId);
    expect(more).toEqual([]);
    const [payload] = run?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    const input: unknown = JSON.parse(Buffer.from(payload?.data ?? []).toString());
    expect(sameBody(input, request)).toBe(true);
    await bench.over(leased);
    expect(leased.world.count('createMachine')).toBe(1);
  });

  test('and a plain start is told that it is there already', async () => {
    const leased = await bench.lease();
    await expect(bench.lease({ leaseId: leased.leaseId })).rejects.toBeInstanceOf(WorkflowExecutionAlreadyStartedError);
    await leased.handle.signal('cancel');
  });
});

describe.concurrent('a request that is wrong', () => {
  test('fails its lease with every mistake named, and leaves nothing running', async () => {
    const leaseId = freshId();
    const wrong = { leaseId, bundle: 'No Such', ttlMs: -1, attempts: 99, surprise: true, job: { command: [] } };
    const refused = await refusal(ask(wrong));
    expect(refused.type).toBe('InvalidRequest');
    for (const text of ['bundle', 'ttlMs', 'attempts', 'surprise', 'job.command'])
      expect(refused.message).toContain(text);
    const handle = bench.client.workflow.getHandle(`lease/${leaseId}`);
    const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
    if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) throw error;
    expect(error.cause.type).toBe('InvalidRequest');
    const [{ mistakes }] = error.cause.details as [{ mistakes: string[] }];
    expect(mistakes.length).toBeGreaterThanOrEqual(5);
    for (const run of await bench.runsOf(handle.workflowId)) assertNoFailedTasks(handle.workflowId, run);
  });

  test('under another workflow id is refused with the right one named', async () => {
    const leaseId = freshId();
    const refused = await refusal(ask({ leaseId, bundle: 'hello' }, `my-own-${leaseId}`));
    expect(refused).toMatchObject({ type: 'InvalidRequest' });
    expect(refused.message).toContain(`it must be lease/${leaseId}`);
    expect((await bench.client.workflow.getHandle(`my-own-${leaseId}`).describe()).status.name).toBe('FAILED');
  });

  test('that carries the state of another run is refused', async () => {
    const leaseId = freshId();
    const forged = { request: { leaseId, bundle: 'hello' }, carried: { life: {}, tuning: {} } };
    expect(await refusal(ask(forged, `lease/${leaseId}`))).toMatchObject({ type: 'InvalidRequest' });
  });
});

test('a lease whose id was taken over by a second run gets no machine of the first one', async () => {
  const leased = await bench.lease();
  const { times } = await waitReady(leased);
  expect(times.ready).toBeDefined();
  await leased.handle.signal('cancel');
  await leased.handle.result();
  await bench.over(leased);
  // A dispatcher that forgot REJECT_DUPLICATE.
  const second = await bench.client.workflow.start('lease', {
    taskQueue: bench.taskQueue,
    workflowId: leased.handle.workflowId,
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    args: [{ bundle: 'hello', leaseId: leased.leaseId }],
  });
  expect(await refusal(second.result())).toMatchObject({ type: 'IdConflict' });
  expect(leased.world.count('createMachine')).toBe(1);
});
