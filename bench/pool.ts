import type { Client } from '@temporalio/client';
import { askPool } from '../src/activities/claims.ts';
import { poolWorkflowId } from '../src/domain/ids.ts';
import type { PoolStatus } from '../src/domain/pool-status.ts';
import { awaitLease, createLease, follow, release } from './measure.ts';
import { Samples } from './samples.ts';
import type { Row } from './stats.ts';
import type { BenchStack } from './stack.ts';

const warmRounds = 50;
const claims = 1_000;

/** Machines that are there before they are asked for. */
export async function warmPools(stack: BenchStack, client: Client): Promise<readonly Row[]> {
  const samples = new Samples();
  await stack.settings(benchPools);
  for (let n = 0; n < warmRounds; n += 1) {
    const { readyMs, jobMs } = await warmRound(stack, n);
    samples.add('claim', readyMs);
    samples.add('job', jobMs);
  }
  const { wholeMs, errors } = await claimAtOnce(stack, client);
  await stack.settings('');
  await release(stack, 'has-it');
  await untilNoPool(stack);
  const of = (name: string): readonly number[] => samples.of(name);
  return [
    { name: 'request → ready, warm machine', unit: 'ms', samples: of('claim'), budget: 100, at: 'p95' },
    { name: 'request → exit code, warm machine', unit: 'ms', samples: of('job'), budget: 250 },
    { name: `each of ${claims} claims of one pool at once`, unit: 'ms', samples: [wholeMs / claims], budget: 10 },
    { name: 'claims without an answer', unit: 'errors', samples: [errors], budget: 0, at: 'worst' },
  ];
}

/** Declared in the bench's slipway.yaml: one whose machines are used up one by one, and one that is only asked. */
const benchPools = `pools:
  warm: {bundle: bench-warm, target: 3, ceiling: 6}
  asked: {bundle: bench-asked, target: 1, ceiling: 1}
`;

const poolOf = (stack: BenchStack, name: string): Promise<PoolStatus> => stack.json(`/v1/pools/${name}`);

/** Only a pool at rest shows what a claim costs: machines that are being made or destroyed beside it are another load. */
async function untilAtRest(stack: BenchStack, name: string, warm: number): Promise<void> {
  // It is started a moment after it was declared.
  while ((await stack.call(`/v1/pools/${name}`)).status === 404) await look();
  for (;;) {
    const { machines } = await poolOf(stack, name);
    if (machines.length === warm && machines.every(({ phase }) => phase === 'warm')) return;
    await look();
  }
}

const look = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

/** One lease of a warm machine, held until it is ready; and one for a job. */
async function warmRound(stack: BenchStack, n: number): Promise<{ readyMs: number; jobMs: number }> {
  await untilAtRest(stack, 'warm', 3);
  const leaseId = `claim-${n}`;
  const askedMs = performance.now();
  await createLease(stack, { leaseId, bundle: 'bench-warm' });
  await awaitLease(stack, leaseId, 'ready');
  const readyMs = performance.now() - askedMs;
  await stack.json(`/v1/leases/${leaseId}/release`, { method: 'POST', body: '{}' });

  await untilAtRest(stack, 'warm', 3);
  const jobId = `warm-job-${n}`;
  const jobAskedMs = performance.now();
  await createLease(stack, { leaseId: jobId, bundle: 'bench-warm', job: { command: ['true'] } });
  const { endMs } = await follow(stack, jobId, 'job');
  return { readyMs, jobMs: endMs - jobAskedMs };
}

/**
 * So many leases claim from one pool at once, by the very code of their activity. Its only machine is leased, so that all of
 * them queue.
 * @returns how long all of it took, and how many got no answer
 */
async function claimAtOnce(
  stack: BenchStack,
  client: Client,
): Promise<{ readonly wholeMs: number; readonly errors: number }> {
  await untilAtRest(stack, 'asked', 1);
  await createLease(stack, { leaseId: 'has-it', bundle: 'bench-asked' });
  await awaitLease(stack, 'has-it', 'ready');
  const digest = await digestOf(client);
  const claim = { attempt: 1, owner: 'bench', priority: 0, digest, ttlMs: 60_000 };
  const startedMs = performance.now();
  const answers = await Promise.all(
    Array.from({ length: claims }, (_, n) =>
      askPool(
        client.workflow,
        { pool: 'asked', claim: { ...claim, leaseId: `asks-${n}` } },
        new AbortController().signal,
      ).then(
        ({ state }) => state,
        (error: unknown) => String(error),
      ),
    ),
  );
  const wholeMs = performance.now() - startedMs;
  const { waiting } = await poolOf(stack, 'asked');
  // It would otherwise go through all of them, none of which exists.
  await client.workflow.getHandle(poolWorkflowId('asked')).terminate('the bench is over');
  const queued = answers.filter((state) => state === 'queued').length;
  if (queued === claims && waiting.length !== claims) throw new Error(`${waiting.length} of ${claims} wait`);
  return { wholeMs, errors: claims - queued };
}

/** All machines of the pools are gone. */
async function untilNoPool(stack: BenchStack): Promise<void> {
  while ((await stack.json<readonly unknown[]>('/v1/pools')).length > 0) await look();
}

/** What machines of the pool are made of, as its first event of this run says. */
async function digestOf(client: Client): Promise<string> {
  const { events } = await client.workflow.getHandle(poolWorkflowId('asked')).fetchHistory();
  for (const event of events ?? []) {
    const data = event.workflowExecutionSignaledEventAttributes?.input?.payloads?.[0]?.data;
    const body = data && (JSON.parse(Buffer.from(data).toString()) as { plan?: { pool?: { digest: string } } });
    if (body?.plan?.pool) return body.plan.pool.digest;
  }
  throw new Error('the pool was told of no plan');
}
