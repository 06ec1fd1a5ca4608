import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { leaseWorkflowId, machineWorkflowId } from '../src/domain/ids.ts';
import { awaitLease, countEvents, createLease, follow } from './measure.ts';
import { benchPools, claimAtOnce, untilNoPool, warmRound } from './pool.ts';
import { judge, table, type Row } from './stats.ts';
import { startBenchStack, type BenchStack } from './stack.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '50' }, json: { type: 'string' } } });
const rounds = Math.max(50, Number(values.rounds));
const kills = 5;
const warmRounds = Math.min(rounds, 50);
const claims = 1_000;

/** What comes and goes as one series of samples. */
const samples = {
  ready: [],
  firstByte: [],
  result: [],
  warm: [],
  events: [],
  gone: [],
  reattach: [],
  orphan: [],
  cancel: [],
  claim: [],
  warmJob: [],
  claims: [],
  claimErrors: [],
} as Record<string, number[]>;
const add = (name: string, value: number): void => void samples[name]?.push(value);

/** One cold lease with a job; and, interleaved, one job on a machine that stands ready. */
async function round(stack: BenchStack, client: Client, n: number): Promise<void> {
  const leaseId = `cold-${n}`;
  const askedMs = performance.now();
  await createLease(stack, { leaseId, job: { command: ['echo', 'hello'] } });
  const following = follow(stack, leaseId, 'job');
  await awaitLease(stack, leaseId, 'ready');
  const readyMs = performance.now();
  const { firstByteMs, endMs } = await following;
  add('ready', readyMs - askedMs);
  add('firstByte', firstByteMs - readyMs);
  add('result', endMs - askedMs);
  await awaitLease(stack, leaseId, 'gone');
  add('gone', performance.now() - endMs);
  add('events', await countEvents(client, leaseId));

  const warmAskedMs = performance.now();
  const taskId = `true-${n}`;
  await stack.json(`/v1/leases/warm/tasks/${taskId}`, { method: 'PUT', body: JSON.stringify({ command: ['true'] }) });
  add('warm', (await follow(stack, 'warm', taskId)).endMs - warmAskedMs);
}

/** From kill -9 of the worker, in the middle of a job's output, to the next byte at the caller. */
async function reattach(stack: BenchStack, n: number): Promise<void> {
  const leaseId = `kill-${n}`;
  await createLease(stack, { leaseId, job: { command: ['sh', '-c', 'while :; do date; sleep 0.05; done'] } });
  const got = { bytes: 0 };
  let wake: (() => void) | undefined;
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  const following = follow(stack, leaseId, 'job', (more) => {
    got.bytes += more;
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
  add('reattach', performance.now() - killedMs);
  const cancelMs = performance.now();
  await stack.json(`/v1/leases/${leaseId}/cancel`, { method: 'POST', body: '{}' });
  await following;
  add('cancel', performance.now() - cancelMs);
  await awaitLease(stack, leaseId, 'gone');
}

/** From the moment when nobody owns a machine any more until the sweep, as it is by default, has taken it away. */
async function orphan(stack: BenchStack, client: Client): Promise<void> {
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
  add('orphan', performance.now() - orphanedMs);
}

const stack = await startBenchStack();
let failed = false;
try {
  const bundles = join(dirname(stack.state), 'bundles');
  await mkdir(bundles, { recursive: true });
  await writeFile(join(bundles, 'bench.yaml'), 'variants:\n  - provider: local\n');
  const connection = await Connection.connect({ address: stack.temporal });
  const client = new Client({ connection });
  await createLease(stack, { leaseId: 'warm' });
  await awaitLease(stack, 'warm', 'ready');
  for (let n = 0; n < rounds; n += 1) await round(stack, client, n);
  for (let n = 0; n < kills; n += 1) await reattach(stack, n);
  await orphan(stack, client);
  // After the others: a pool that fills itself is no part of what they measure.
  for (const name of ['bench-warm', 'bench-asked']) {
    await writeFile(join(bundles, `${name}.yaml`), 'variants:\n  - provider: local\n');
  }
  const settings = join(dirname(stack.state), 'slipway.yaml');
  await writeFile(settings, benchPools);
  for (let n = 0; n < warmRounds; n += 1) {
    const { readyMs, jobMs } = await warmRound(stack, n);
    add('claim', readyMs);
    add('warmJob', jobMs);
  }
  const { wholeMs, errors } = await claimAtOnce(stack, client, claims);
  add('claims', wholeMs / claims);
  add('claimErrors', errors);
  await writeFile(settings, 'pools: {}\n');
  await stack.json('/v1/leases/has-it/release', { method: 'POST', body: '{}' });
  await awaitLease(stack, 'has-it', 'gone');
  await untilNoPool(stack);
  await stack.json('/v1/leases/warm/release', { method: 'POST', body: '{}' });
  await awaitLease(stack, 'warm', 'gone');
  await connection.close();

  const of = (name: string): number[] => samples[name] ?? [];
  const rows: Row[] = [
    { name: 'request → ready, cold, no steps', unit: 'ms', samples: of('ready'), budget: 300 },
    { name: "ready → first byte of the job's output", unit: 'ms', samples: of('firstByte'), budget: 150 },
    { name: 'request → exit code, cold', unit: 'ms', samples: of('result') },
    { name: 'request → exit code, on a ready machine', unit: 'ms', samples: of('warm'), budget: 250 },
    { name: 'events of lease + machine + task', unit: 'events', samples: of('events'), budget: 130, at: 'worst' },
    { name: 'kill -9 of the worker → next byte', unit: 'ms', samples: of('reattach'), budget: 15_000, at: 'worst' },
    { name: 'cancel → end of the job', unit: 'ms', samples: of('cancel'), budget: 3_000, at: 'worst' },
    { name: 'end of the job → machine seen gone', unit: 'ms', samples: of('gone'), budget: 1_000, at: 'p95' },
    { name: 'orphaned by a crash → seen gone', unit: 'ms', samples: of('orphan'), budget: 120_000, at: 'worst' },
    { name: 'request → ready, warm machine', unit: 'ms', samples: of('claim'), budget: 100, at: 'p95' },
    { name: 'request → exit code, warm machine', unit: 'ms', samples: of('warmJob'), budget: 250 },
    { name: `each of ${claims} claims of one pool at once`, unit: 'ms', samples: of('claims'), budget: 10 },
    { name: 'claims without an answer', unit: 'errors', samples: of('claimErrors'), budget: 0, at: 'worst' },
  ];
  const judged = rows.map(judge);
  process.stdout.write(`${table(judged)}\n`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(judged, null, 2)}\n`);
  failed = judged.some((row) => row.met === false);
} finally {
  await stack.stop();
}
process.exitCode = failed ? 1 : 0;
