import type { SlipwayClient } from '../client/client.ts';
import type { LeaseView } from '../contract/http.ts';
import { isLeaseEnd } from '../contract/wait.ts';
import { DomainError, textParts } from '../domain/failure.ts';
import { jobTaskId } from '../domain/ids.ts';
import type { LeaseRequest, LeaseStatus } from '../domain/lease.ts';
import type { TaskResult } from '../domain/task.ts';
import type { Cli } from './context.ts';
import { followJob } from './job-output.ts';
import { attemptLine, spokenCommand } from './output/lease.ts';
import { harmless } from './output/table.ts';
import { roundMs, spokenMs } from './output/units.ts';
import { followPhases } from './progress.ts';

/** How often a lease that does not end is looked at, whether it holds its machine. */
const heldLookMs = 500;

/** What came of a one-shot lease. */
export interface JobOutcome {
  readonly lease: LeaseView;
  /** Absent when the lease ended before its job began. */
  readonly job?: TaskResult;
}

/** What there is to tell of the bundle, such as that its file has mistakes. */
export function sayNotice(cli: Cli, { bundle }: LeaseStatus): void {
  if (bundle.notice === undefined) return;
  cli.say(cli.paint('yellow', `  Bundle ${bundle.name}: ${harmless(bundle.notice)} · slipway bundle check`));
}

/** Opens the lease, says its phases, passes its job's output on, and answers the end of both. */
export async function runJob(
  cli: Cli,
  client: SlipwayClient,
  request: LeaseRequest,
  { signal, raw }: { readonly signal: AbortSignal; readonly raw: boolean },
): Promise<JobOutcome> {
  const { leaseId } = request;
  const began = performance.now();
  sayNotice(cli, await client.leases.open(request));
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  try {
    const progress = followPhases(cli, client, leaseId, either);
    const announced = progress.ready.then((view) => {
      sayReady(cli, view, request, performance.now() - began);
      return view;
    });
    announced.catch(() => undefined); // awaited below, unless the output's failure comes first
    const following = followJob(
      cli,
      client,
      { leaseId, taskId: jobTaskId },
      {
        signal: either,
        raw,
        // The first byte may be here before the next look at the lease: its story comes first.
        onFirst: async () => {
          void progress.hurry();
          await announced;
        },
      },
    );
    following.catch(() => undefined); // awaited below, if there is a job at all
    const ready = await announced;
    if (ready.times.ready === undefined) return { lease: await settled(client, request, ready, signal) };
    const job = await following.catch((error: unknown) => {
      // A lease that ended before its job began has no such task; why stands in the lease.
      if (error instanceof DomainError && error.type === 'NotFound') return undefined;
      throw error;
    });
    return { lease: await settled(client, request, undefined, signal), ...(job ? { job } : {}) };
  } finally {
    done.abort();
  }
}

/** The lease as it ends, or as it keeps its machine for a look, with what it collects. */
async function settled(
  client: SlipwayClient,
  { leaseId, collect = [] }: LeaseRequest,
  before: LeaseView | undefined,
  signal: AbortSignal,
): Promise<LeaseView> {
  // It is told of its job's end a moment after us, and then it ends or holds.
  for (let lease = before; ;) {
    if (lease && isLeaseEnd(lease.state)) return lease;
    const collects = collect.length > 0 && lease?.times.ready !== undefined;
    if (lease?.state === 'held' && (!collects || lease.collected !== undefined)) return lease;
    lease = await client.leases.wait(leaseId, 'ended', { withinMs: heldLookMs, signal });
  }
}

function sayReady(cli: Cli, view: LeaseView, request: LeaseRequest, tookMs: number): void {
  if (view.times.ready === undefined) return;
  const last = view.attempts.at(-1);
  const { requested, ready, expires } = view.times;
  // By the lease's own clock where it is ours: a lease that stood already was ready long ago.
  const ms = Math.min(tookMs, Date.parse(ready) - Date.parse(requested));
  const left = expires ? ` · expires in ${roundMs(Date.parse(expires) - Date.now())}` : '';
  cli.say(
    `${cli.paint('green', '✔')} ready in ${spokenMs(ms)}${view.machine?.pool ? ' (warm)' : ''} · ${view.bundle.name} on ${last?.provider ?? '?'} · lease ${view.leaseId}${left}`,
  );
  for (const file of request.files ?? []) cli.say(`  ${harmless(file.path)} installed`);
  if (request.job) cli.say(cli.paint('dim', `▸ ${spokenCommand(request.job.command)}`));
}

/** Why there is no job's exit code, with how each attempt went. */
export async function explainFailure(
  client: SlipwayClient,
  lease: LeaseView,
): Promise<{ readonly error: DomainError; readonly lines: readonly string[] }> {
  const { leaseId, bundle, attempts } = lease;
  const failed = attempts.filter((attempt) => attempt.reason !== undefined);
  // A lease that keeps the machine for a look has not failed yet.
  const held = lease.state === 'held';
  const reason = lease.reason ?? (held ? failed.at(-1)?.reason : undefined);
  const tries = failed.length > 1 ? ` (${failed.length} attempts)` : '';
  const next = held
    ? `slipway lease show ${leaseId} --why · slipway lease release ${leaseId}`
    : `slipway lease show ${leaseId} --why · or keep the next one for a look: --keep 30m`;
  const { message, hint } = textParts(reason?.message ?? '');
  const error =
    lease.times.ready === undefined && reason
      ? new DomainError(reason.type, `${bundle.name} was not ready${tries}: ${message}`, {
          hint: hint === undefined ? next : `${hint} · ${next}`,
        })
      : new DomainError(reason?.type ?? 'Gone', reason?.message ?? `Lease ${leaseId} is ${lease.state}.`, {
          hint: `slipway lease show ${leaseId} --why`,
        });
  return { error, lines: [...failed.map(attemptLine), ...(await lastLines(client, lease))] };
}

const shownLines = 5;

/** The end of what the failed step of the last attempt wrote. */
export async function lastLines(client: SlipwayClient, { attempts }: LeaseView): Promise<readonly string[]> {
  const last = attempts.findLast(({ failedStep }) => failedStep !== undefined);
  const step = last?.failedStep;
  if (!last || !step || step.output === undefined) return [];
  const texts = await Promise.all(
    (['stderr', 'stdout'] as const).map((stream) =>
      client.machines.stepTail(last.machineId, step.step, stream, step.generation),
    ),
  );
  const lines = (texts.find((text) => text.trim() !== '') ?? '').trimEnd().split('\n').slice(-shownLines);
  return lines.every((line) => line === '')
    ? []
    : ['    its last lines:', ...lines.map((line) => `      ${harmless(line)}`)];
}

/** Waits until the machine is seen gone, and says so, or that it is not. */
export async function awaitGone(
  cli: Cli,
  client: SlipwayClient,
  leaseId: string,
  signal: AbortSignal,
): Promise<{ readonly gone: boolean; readonly lease: LeaseView }> {
  const lease = await client.leases.wait(leaseId, 'gone', { signal });
  const left = lease.attempts.filter(({ phase }) => phase !== 'gone');
  for (const { machineId, provider, phase, reason } of left) {
    const what = phase === 'forgotten' ? 'was given up by a person' : 'is stuck: it is tried again for ever';
    const text = `  Machine ${machineId} (${provider}) ${what}. ${harmless(reason?.message ?? '')}`;
    cli.say(cli.paint('yellow', text.trimEnd()));
  }
  return { gone: left.length === 0, lease };
}
