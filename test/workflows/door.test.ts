import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowType } from '../../src/contract/messages.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { assertNoFailedTasks, startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { job, update, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

type Payload = temporal.api.common.v1.IPayload;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const payload = (encoding: string | undefined, data: string): Payload => ({
  metadata: encoding === undefined ? {} : { encoding: bytes(encoding) },
  data: bytes(data),
});

/** What a stranger's client may send, and what the answer must speak of. */
const strange: readonly {
  readonly what: string;
  readonly body: Payload;
  readonly says: RegExp;
  /** As good as no body: what needs none takes it. */
  readonly empty?: true;
}[] = [
  {
    what: 'an unknown encoding',
    body: payload('binary/klingon', '{}'),
    says: /cannot be read/,
  },
  { what: 'broken JSON', body: payload('json/plain', '{"leaseId": "x'), says: /cannot be read/ },
  { what: 'a missing encoding', body: payload(undefined, '{}'), says: /cannot be read/ },
  { what: 'json/protobuf', body: payload('json/protobuf', '{"leaseId":"x"}'), says: /cannot be read/ },
  { what: 'raw bytes', body: payload('binary/plain', 'hello'), says: /expected|Unrecognized|leaseId/ },
  { what: 'null', body: payload('binary/null', ''), says: /expected object|Invalid input/, empty: true },
  { what: 'a list', body: payload('json/plain', '[1,2]'), says: /expected object|Invalid input/ },
  { what: 'a number', body: payload('json/plain', '42'), says: /expected object|Invalid input/ },
  { what: 'text', body: payload('json/plain', '"now"'), says: /expected object|Invalid input/ },
];

const execution = (workflowId: string) => ({ namespace: 'default', workflowExecution: { workflowId } });

/** Starts by the raw service: no converter of ours is in between. */
async function startRaw(type: string, workflowId: string, payloads: Payload[]): Promise<void> {
  await bench.connection.workflowService.startWorkflowExecution({
    namespace: 'default',
    workflowId,
    workflowType: { name: type },
    taskQueue: { name: bench.taskQueue },
    input: { payloads },
    requestId: randomUUID(),
    identity: 'a stranger',
  });
}

const signalRaw = (workflowId: string, signalName: string, payloads: Payload[]) =>
  bench.connection.workflowService.signalWorkflowExecution({
    ...execution(workflowId),
    signalName,
    input: { payloads },
    identity: 'a stranger',
  });

async function updateRaw(workflowId: string, name: string, payloads: Payload[]) {
  const { outcome } = await bench.connection.workflowService.updateWorkflowExecution({
    ...execution(workflowId),
    request: { meta: { updateId: randomUUID() }, input: { name, args: { payloads } } },
    waitPolicy: {
      lifecycleStage:
        temporal.api.enums.v1.UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
    },
  });
  return outcome?.failure;
}

async function failureOf(workflowId: string): Promise<ApplicationFailure> {
  const error: unknown = await bench.client.workflow
    .getHandle(workflowId)
    .result()
    .catch((thrown: unknown) => thrown);
  if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) throw error;
  for (const run of await bench.runsOf(workflowId)) assertNoFailedTasks(workflowId, run);
  return error.cause;
}

const freshId = (): string => `l-${randomUUID().slice(0, 8)}`;

describe.concurrent.each(strange)('$what', ({ body, says, empty }) => {
  test.each(['lease', 'machine', 'task', 'sweep'])('as the input of %s fails it as InvalidRequest', async (type) => {
    const workflowId = `${type}/${freshId()}`;
    await startRaw(type, workflowId, [body]);
    if (type === 'sweep' && empty) return void (await bench.client.workflow.getHandle(workflowId).result());
    const failure = await failureOf(workflowId);
    expect(failure.type).toBe('InvalidRequest');
    expect(failure.message).toMatch(says);
  });

  test('as a signal or an update is refused, and the lease, its machine and its task go on', async () => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    const lease = leased.handle.workflowId;
    for (const name of [...(empty ? [] : ['cancel']), 'markReady', 'machineReported', 'taskEnded', 'nonsense'])
      await signalRaw(lease, name, [body, body]);
    for (const name of ['extend', ...(empty ? [] : ['release']), 'markReady', 'nonsense'])
      await signalRaw(`machine/${leased.leaseId}.1`, name, [body]);
    for (const name of ['outputAdvanced', 'nonsense']) await signalRaw(`task/${leased.leaseId}/job`, name, [body]);
    for (const name of ['open', 'runTask', 'extend', 'nonsense']) {
      const failure = await updateRaw(lease, name, [body]);
      expect(failure?.applicationFailureInfo?.type, name).toMatch(/InvalidRequest|IdConflict/);
    }
    leased.world.letGo('followTask');
    await leased.handle.result();
    await bench.over(leased);
  });
});

describe.concurrent('what a stranger starts', () => {
  test('of an unknown type fails with the known ones named', async () => {
    const workflowId = freshId();
    await startRaw('leese', workflowId, [payload('json/plain', '{}')]);
    await signalRaw(workflowId, 'cancel', [payload('binary/klingon', '')]).catch(() => undefined);
    const failure = await failureOf(workflowId);
    expect(failure).toMatchObject({ type: 'InvalidRequest' });
    expect(failure.message).toContain(`Unknown workflow type leese; known: ${Object.values(workflowType).join(', ')}`);
  });

  test('without any input fails as InvalidRequest', async () => {
    for (const type of ['lease', 'machine', 'task']) {
      const workflowId = `${type}/${freshId()}`;
      await startRaw(type, workflowId, []);
      expect((await failureOf(workflowId)).type).toBe('InvalidRequest');
    }
  });

  test('as a machine or a task with an input that is half right fails with the mistakes named', async () => {
    const machine = `machine/${freshId()}`;
    const half = { machineId: 'x', leaseId: 'x', provider: 'fake', plan: fakePlan({ variants: [] }), carried: {} };
    await startRaw('machine', machine, [payload('json/plain', JSON.stringify(half))]);
    const failure = await failureOf(machine);
    for (const text of ['birth', 'key', 'tuning']) expect(failure.message).toContain(text);
    const task = `task/${freshId()}`;
    await startRaw('task', task, [payload('json/plain', JSON.stringify({ taskId: 'x', spec: { command: [] } }))]);
    const message = (await failureOf(task)).message;
    for (const text of ['leaseId', 'spec.command', 'guest', 'holder']) expect(message).toContain(text);
  });

  test('with a request of more than 64 KiB is told to use a file, counted in bytes', async () => {
    for (const big of ['x'.repeat(70_000), 'ä'.repeat(40_000)]) {
      const leaseId = freshId();
      const request = { leaseId, bundle: 'hello', metadata: { big } };
      await startRaw('lease', `lease/${leaseId}`, [payload('json/plain', JSON.stringify(request))]);
      const failure = await failureOf(`lease/${leaseId}`);
      expect(failure.type).toBe('InvalidRequest');
      expect(failure.message).toMatch(/has \d+ bytes, more than 65536: put large input into a file/);
    }
  });
});

describe.concurrent('a report that no machine and no task of ours sent', () => {
  const forged = (leased: Leased) => [
    { machineId: `${leased.leaseId}.1` },
    { machineId: `${leased.leaseId}.1`, key: 'k', state: 'flying', phases: [] },
    { machineId: `${leased.leaseId}.1`, key: 'k', state: 'ready' },
    { taskId: 'job' },
    { taskId: 'job', state: 'done', result: 1 },
  ];

  test('is refused by the lease, which goes on', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    for (const body of forged(leased)) {
      await leased.handle.signal('machineReported', body);
      await leased.handle.signal('taskEnded', body);
    }
    expect(await bench.status(leased.leaseId)).toMatchObject({ state: 'ready' });
    expect((await bench.status(leased.leaseId)).refused).toHaveLength(5);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('is no way to a date that no part can carry', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    for (const untilMs of [1e18, -1, 0.5, '1']) await bench.machine(leased.leaseId).signal('extend', { untilMs });
    expect(await bench.machineStatus(leased.leaseId)).toMatchObject({ phase: 'ready' });
    await update(leased, 'release');
    await bench.over(leased);
  });
});

test('a markReady that comes at any wrong moment changes nothing', async () => {
  const leased = await bench.lease({ job, attempts: 2 }, (world) => {
    world.hold('resolveBundle');
    world.hold('destroyMachine');
    world.hold('followTask');
    world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
  });
  const { world, handle } = leased;
  await world.isHeld('resolveBundle');
  await handle.signal('markReady');
  world.letGo('resolveBundle');
  await world.isHeld('destroyMachine');
  await handle.signal('markReady', { result: 1 });
  world.letGo('destroyMachine');
  await world.isHeld('followTask');
  await handle.signal('markReady', { result: 1 });
  world.lost.set(`${leased.leaseId}.2`, { type: 'GuestLost', message: 'deleted' });
  await handle.signal('markReady', { result: 1 });
  await handle.result().catch(() => undefined);
  await bench.over(leased);
});
