import { Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';
import { poolWorkflowId } from '../../src/domain/ids.ts';
import { bornPool, type PoolDeclaration } from '../../src/domain/pool.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { dataConverter, quietRuntime, workflowBundle } from '../support/workflow-bench.ts';

beforeAll(() => quietRuntime());

const declared: PoolDeclaration = { settings: { bundle: 'hello', target: 0, ceiling: 1 }, tuning: defaultTuning };
const retract = { signal: 'retract', body: { why: 'not declared any more' } };
const declare = { signal: 'declare', body: declared };
type Sent = typeof retract | typeof declare;

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const payloads = (value: unknown) => ({
  payloads: [{ metadata: { encoding: base64('json/plain') }, data: base64(JSON.stringify(value)) }],
});
const keyword = (value: string) => ({
  metadata: { encoding: base64('json/plain'), type: base64('Keyword') },
  data: base64(JSON.stringify(value)),
});
const taskQueue = { name: 'slipway', kind: 'TASK_QUEUE_KIND_NORMAL' };

/** The next run of a pool, to which these signals came while it was on its way: its first task, and what it did then. */
function historyOf(sent: readonly Sent[], states: readonly string[], over: boolean) {
  const input = { name: 'web', carried: bornPool('web', declared, 0), inOrder: true };
  const events = [
    {
      eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_STARTED',
      workflowExecutionStartedEventAttributes: {
        workflowType: { name: 'pool' },
        taskQueue,
        input: payloads(input),
        continuedExecutionRunId: '00000000-0000-4000-8000-000000000001',
        originalExecutionRunId: '00000000-0000-4000-8000-000000000002',
        firstExecutionRunId: '00000000-0000-4000-8000-000000000001',
        workflowTaskTimeout: '10s',
        attempt: 1,
      },
    },
    ...sent.map(({ signal, body }) => ({
      eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED',
      workflowExecutionSignaledEventAttributes: { signalName: signal, input: payloads(body) },
    })),
    {
      eventType: 'EVENT_TYPE_WORKFLOW_TASK_SCHEDULED',
      workflowTaskScheduledEventAttributes: { taskQueue, startToCloseTimeout: '10s', attempt: 1 },
    },
    {
      eventType: 'EVENT_TYPE_WORKFLOW_TASK_STARTED',
      workflowTaskStartedEventAttributes: { scheduledEventId: String(sent.length + 2) },
    },
    {
      eventType: 'EVENT_TYPE_WORKFLOW_TASK_COMPLETED',
      workflowTaskCompletedEventAttributes: {
        scheduledEventId: String(sent.length + 2),
        startedEventId: String(sent.length + 3),
        sdkMetadata: { coreUsedFlags: [1, 2, 3] },
      },
    },
    ...states.map((state) => ({
      eventType: 'EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES',
      upsertWorkflowSearchAttributesEventAttributes: {
        workflowTaskCompletedEventId: String(sent.length + 4),
        searchAttributes: { indexedFields: { SlipwayState: keyword(state), SlipwayBundle: keyword('hello') } },
      },
    })),
    ...(over
      ? [
          {
            eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED',
            workflowExecutionCompletedEventAttributes: {
              result: payloads({ name: 'web', why: retract.body.why }),
              workflowTaskCompletedEventId: String(sent.length + 4),
            },
          },
        ]
      : []),
  ];
  return {
    events: events.map((event, n) =>
      Object.assign({ eventId: String(n + 1), eventTime: '2026-01-01T00:00:00Z', taskId: String(n + 1) }, event),
    ),
  };
}

const replay = (history: unknown): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle, dataConverter }, history, poolWorkflowId('web'));

describe('a pool hears what came between two of its runs', () => {
  test('in the order in which it was sent: declared again, it stands', async () => {
    await replay(historyOf([retract, declare], ['retracted', 'open'], false));
    // That this is another story than the other order:
    await expect(replay(historyOf([retract, declare], ['retracted'], true))).rejects.toThrow(/ondeterminism/);
  });

  test('and taken out again, it is over', async () => {
    await replay(historyOf([declare, retract], ['retracted'], true));
    await expect(replay(historyOf([declare, retract], ['retracted', 'open'], false))).rejects.toThrow(/ondeterminism/);
  });
});
