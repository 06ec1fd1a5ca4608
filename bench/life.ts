import type { Client } from '@temporalio/client';
import { leaseWorkflowId, machineWorkflowId } from '../src/domain/ids.ts';
import { awaitLease, countEvents, createLease, follow, putTask, release } from './measure.ts';
import { Samples } from './samples.ts';
import type { Row } from './stats.ts';
import type { BenchStack } from './stack.ts';

const kills = 5;

/** The life of a lease: cold, on a machine that stands ready, over the death of a worker, orphaned. */
export async function lives(stack: BenchStack, client: Client, rounds: number): Promise<readonly Row[]> {
  const samples = new Samples();
  await createLease(stack, { leaseId: 'stands' });
  await awaitLease(stack, 'stands', 'ready');
  for (let n = 0; n < rounds; n += 1) await round(stack, client, samples, n);
  for (let n = 0; n < kills; n += 1) await reattach(stack, samples, n);
  await orphan(stack, client, samples);
  await release(stack, 'stands');
  const of = (name: string): readonly number[] => samples.of(name);
  return [
    { name: 'request → ready, cold, no steps', unit: 'ms', samples: of('ready'), budget: 300 },
    { name: "ready → first byte of the job's output", unit: 'ms', samples: of('firstByte'), budget: 150 },
    { name: 'exit of the job → exit code at the caller', unit: 'ms', samples: of('exit') },
    { name: 'request → exit code, cold', unit: 'ms', samples: of('result') },
    { name: 'request → exit code, on a ready machine', unit: 'ms', samples: of('standing'), budget: 250 },
    { name: 'events of lease + machine + task', unit: 'events', samples: of('events'), budget: 130, at: 'worst' },
    { name: 'kill -9 of the worker → next byte', unit: 'ms', samples: of('reattach'), budget: 15_000, at: 'worst' },
    { name: 'cancel → end of the job', unit: 'ms', samples: of('cancel'), budget: 3_000, at: 'worst' },
    { name: 'end of the job → machine seen gone', unit: 'ms', samples: of('gone'), budget: 1_000, at: 'p95' },
    { name: 'orphaned by a crash → seen gone', unit: 'ms', samples: of('orphan'), budget: 120_000, at: 'worst' },
  ];
}

/** One cold lease with a job, whose last act is to tell the time; and, interleaved, one job on a machine that stands ready. */
async function round(stack: BenchStack, client: Client, samples: Samples, n: number): Promise<void> {
  const leaseId = `cold-${n}`;
  const askedMs = performance.now();
  await createLease(stack, { leaseId, job: { command: ['date', '+%s%3N'] } });
  const said: Uint8Array[] = [];
  const following = follow(stack, leaseId, 'job', (bytes) => said.push(bytes));
  await awaitLease(stack, leaseId, 'ready');
  const readyMs = performance.now();
  const { firstByteMs, endMs } = await following;
  samples.add('ready', readyMs - askedMs);
  samples.add('firstByte', firstByteMs - readyMs);
  samples.add('result', endMs - askedMs);
  samples.add('exit', performance.timeOrigin + endMs - Number(Buffer.concat(said).toString()));
  await awaitLease(stack, leaseId, 'gone');
  samples.add('gone', performance.now() - endMs);
  samples.add('events', await countEvents(client, leaseId));

  const standingAskedMs = performance.now();
  const taskId = `true-${n}`;
  await putTask(stack, 'stands', taskId, ['true']);
  samples.add('standing', (await follow(stack, 'stands', taskId)).endMs - standingAskedMs);
}

/** From kill -9 of the worker, in the middle of a job's output, to the next byte at the caller. */
async function reattach(stack: BenchStack, samples: Samples, n: number): Promise<void> {
  const leaseId = `kill-${n}`;
  await createLease(stack, { leaseId, job: { command: ['sh', '-c', 'while :; do date; sleep 0.05; done'] } });
  const got = { bytes: 0 };
  let wake: (() => void) | undefined;
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  const following = follow(stack, leaseId, 'job', (more) => {
    got.bytes += more.length;
    wake?.();
  });
  while (got.bytes < 300) await next();
  process.kill(await stack.workerPid(), 'SIGKILL');
  const killedMs = performance.now();
  // What the dead worker had stored may still be on its way: count from the first quiet moment on.
  for (let quiet = false; !quiet;) {
    quiet = await Promise.race([
      next().then(() => false),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 300)),
    ]);
  }
  await next();
  samples.add('reattach', performance.now() - killedMs);
  const cancelMs = performance.now();
  await stack.json(`/v1/leases/${leaseId}/cancel`, { method: 'POST', body: '{}' });
  await following;
  samples.add('cancel', performance.now() - cancelMs);
  await awaitLease(stack, leaseId, 'gone');
}

/** From the moment when nobody owns a machine any more until the sweep, as it is by default, has taken it away. */
async function orphan(stack: BenchStack, client: Client, samples: Samples): Promise<void> {
  const leaseId = 'orphaned';
  const before = new Set(await stack.machines());
  await createLease(stack, { leaseId });
  await awaitLease(stack, leaseId, 'ready');
  const its = new Set((await stack.machines()).filter((name) => !before.has(name)));
  for (const id of [leaseWorkflowId(leaseId), machineWorkflowId(`${leaseId}.1`)])
    await client.workflow.getHandle(id).terminate('to leave an orphan');
  const orphanedMs = performance.now();
  const isThere = async (): Promise<boolean> => (await stack.machines()).some((name) => its.has(name));
  while (await isThere()) await new Promise((resolve) => setTimeout(resolve, 100));
  samples.add('orphan', performance.now() - orphanedMs);
}
