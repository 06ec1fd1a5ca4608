/**
 * A dispatcher on plain Temporal: one job on a machine of its own, its output as it comes, its exit code.
 *
 *     node .examples/dispatcher.js nightly-7 hello sh -c 'uname -a; exit 3'
 *
 * It relies on the published contract only (schemas/, docs/dispatching.md). Kill it and start it again with the same id: it
 * gets the same lease, and goes on.
 */
import { setTimeout as pause } from 'node:timers/promises';
import {
  Client,
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

/** Of schemas/lease-status.json and schemas/lease-result.json, what we use. */
interface LeaseStatus {
  state: string;
  access?: { user: string; address: string; port: number; fingerprint: string };
}
interface LeaseResult {
  state: string;
  reason?: { type: string; message: string };
  job?: { exitCode: number | null; state: string };
}
interface Output {
  stdout: { bytes: number; tail: string };
  stderr: { bytes: number; tail: string };
}

const [leaseId = '', bundle = '', ...command] = process.argv.slice(2);
if (command.length === 0) {
  process.stderr.write('dispatcher LEASE-ID BUNDLE COMMAND [WORDS…]\n');
  process.exit(2);
}

const connection = await Connection.connect({ address: process.env['TEMPORAL_ADDRESS'] ?? '127.0.0.1:7233' });
const client = new Client({ connection });

/** The same id is the same lease, also for a dispatcher that died and asks again. */
async function lease(): Promise<WorkflowHandle> {
  const workflowId = `lease/${leaseId}`;
  try {
    const handle = await client.workflow.start('lease', {
      taskQueue: 'slipway',
      workflowId,
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      args: [{ leaseId, bundle, job: { command } }],
    });
    process.stderr.write(`lease ${leaseId} asked for\n`);
    return handle;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    process.stderr.write(`lease ${leaseId} is there already\n`);
    return client.workflow.getHandle(workflowId);
  }
}

/** What `output` knows is the end of each stream: of a job that writes faster than we look, some is passed over. */
async function follow(over: Promise<unknown>): Promise<void> {
  const seen = { stdout: 0, stderr: 0 };
  const task = client.workflow.getHandle(`task/${leaseId}/job`);
  const look = async (): Promise<void> => {
    const output = await task.query<Output>('output').catch((error: unknown) => {
      if (error instanceof WorkflowNotFoundError) return undefined; // it has not begun
      throw error;
    });
    for (const stream of ['stdout', 'stderr'] as const) {
      const { bytes = 0, tail = '' } = output?.[stream] ?? {};
      const fresh = Math.max(0, bytes - seen[stream]);
      const end = Buffer.from(tail);
      process[stream].write(end.subarray(Math.max(0, end.length - fresh)));
      seen[stream] = Math.max(bytes, seen[stream]);
    }
  };
  const ended = over.then(
    () => true,
    () => true,
  );
  for (let last = false; ; last = await Promise.race([pause(500, false), ended])) {
    await look();
    if (last) return;
  }
}

async function resultOf(handle: WorkflowHandle): Promise<LeaseResult> {
  try {
    return (await handle.result()) as LeaseResult;
  } catch (error) {
    // A lease that failed has its whole result in the details.
    const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
    if (cause instanceof ApplicationFailure && cause.details?.[0]) return cause.details[0] as LeaseResult;
    throw error;
  }
}

const handle = await lease();
const result = resultOf(handle);
result.catch(() => undefined); // awaited below

// `waitReady` may be answered early, when the workflow is just going on in a new run. The answer is the old one's to give:
// `executeUpdate` would ask the newest run for it, when it has waited for 20 s.
let status: LeaseStatus = { state: 'acquiring' };
while (status.state === 'acquiring') {
  try {
    const taken = await handle.startUpdate<LeaseStatus, [object]>('waitReady', {
      args: [{}],
      waitForStage: 'ACCEPTED',
    });
    status = await taken.result();
  } catch (error) {
    // It has ended already, or ends in this moment: its result says how.
    if (!(error instanceof WorkflowNotFoundError || error instanceof WorkflowUpdateFailedError)) throw error;
    break;
  }
}
const { access } = status;
if (access) process.stderr.write(`ready: ${access.user}@${access.address}:${access.port} ${access.fingerprint}\n`);

await follow(result);
const { state, reason, job } = await result;
process.stderr.write(`lease ${leaseId} ${state}${reason ? `: ${reason.message}` : ''}\n`);
await connection.close();
process.exitCode = job?.exitCode ?? 125;
