import type { Command } from 'commander';
import type { SlipwayClient } from '../../client/client.ts';
import type { Stack } from '../../dev/stack.ts';
import { DomainError } from '../../domain/failure.ts';
import type { LeaseRequest } from '../../domain/lease.ts';
import type { Cli } from '../context.ts';
import { exit, exitOf, exitOfJob, Interrupted, PatienceOver } from '../exit.ts';
import type { Action } from '../action.ts';
import { listenToInterrupts, unlessAborted } from '../interrupts.ts';
import type { Interrupts } from '../interrupts.ts';
import { collectOption, commandOptions, leaseOptions, outputOptions } from '../options.ts';
import { jobSummary, spokenCommand } from '../output/lease.ts';
import { harmless } from '../output/table.ts';
import { PipeClosed } from '../output/pump.ts';
import { duration } from '../parse.ts';
import type { CollectFlag } from '../parse.ts';
import { fetchLater, placeCollected } from '../collect.ts';
import { leaseRequestOf, taskSpecOf } from '../run-request.ts';
import type { CommandFlags, LeaseFlags } from '../run-request.ts';
import { awaitGone, explainFailure, runJob, sayNotice } from '../run-flow.ts';
import { errorView, sayError } from '../show-error.ts';
import { withStack } from '../with-stack.ts';

interface RunFlags extends CommandFlags, LeaseFlags {
  readonly id?: string;
  readonly collect?: readonly CollectFlag[];
  readonly detach?: boolean;
  readonly waitTimeout?: number;
  readonly debug?: boolean;
  readonly raw?: boolean;
}

export function addRun(program: Command, action: Action): void {
  const command = program
    .command('run')
    .summary('Lease a machine, run one job on it, give it back')
    .description(
      'Leases a machine of a bundle, runs one job on it with live output, gives the machine back, and exits as the job did.',
    )
    .usage('[options] -- command [words…]')
    .argument('[command...]', 'the command and its words, after --')
    .passThroughOptions();
  collectOption(outputOptions(leaseOptions(commandOptions(command))))
    .option('--id <lease>', 'name the lease; the same id and flags again is the same lease, not a second run')
    .option('-d, --detach', 'print the lease and leave the job running')
    .option('--wait-timeout <duration>', 'your own patience; the job goes on after it (exit 7)', duration)
    .action(
      action({ ours: exit.ours }, (cli, [words], flags) =>
        run(cli, words as readonly string[], flags as unknown as RunFlags),
      ),
    );
}

async function run(cli: Cli, words: readonly string[], flags: RunFlags): Promise<number> {
  const interrupts = listenToInterrupts(cli.io);
  const patience = new AbortController();
  const timer =
    flags.waitTimeout === undefined
      ? undefined
      : setTimeout(() => patience.abort(new PatienceOver(flags.waitTimeout ?? 0)), flags.waitTimeout);
  const signal = AbortSignal.any([interrupts.signal, patience.signal]);
  try {
    return await withStack(cli, { detach: flags.detach === true, signal }, (client, keepStack, stack) =>
      runOn(cli, client, words, flags, { signal, interrupts, keepStack, mode: stack?.mode }),
    );
  } finally {
    clearTimeout(timer);
    interrupts.end();
  }
}

interface Stopping {
  readonly signal: AbortSignal;
  readonly interrupts: Interrupts;
  /** The job goes on without us: so must the stack. */
  readonly keepStack: () => void;
  /** Of the stack of this folder, if it is one. */
  readonly mode: Stack['mode'] | undefined;
}

async function runOn(
  cli: Cli,
  client: SlipwayClient,
  words: readonly string[],
  flags: RunFlags,
  stopping: Stopping,
): Promise<number> {
  const { signal } = stopping;
  const leaseId = flags.id ?? (await freshLeaseId());
  const job = await unlessAborted(signal, taskSpecOf(cli, client, leaseId, words, flags, signal));
  const request: LeaseRequest = {
    ...(await unlessAborted(signal, leaseRequestOf(cli, client, leaseId, flags, signal))),
    job,
  };
  if (flags.detach) return detach(cli, client, request, stopping, flags);
  cli.say(`Leasing bundle ${request.bundle} as ${leaseId}`);
  try {
    return await attached(cli, client, request, stopping, flags);
  } catch (error) {
    if (error instanceof Interrupted || error instanceof PatienceOver || error instanceof PipeClosed) {
      return leave(cli, client, leaseId, error, stopping, flags);
    }
    throw error;
  }
}

async function attached(
  cli: Cli,
  client: SlipwayClient,
  request: LeaseRequest,
  stopping: Stopping,
  { raw = false, collect = [] }: RunFlags,
): Promise<number> {
  const { leaseId } = request;
  const { signal } = stopping;
  const { lease, job } = await runJob(cli, client, request, { signal, raw });
  const failure =
    job && job.startedAt !== null
      ? undefined
      : lease.state === 'cancelled'
        ? undefined
        : await explainFailure(client, lease);
  const placed = await placeCollected(cli, client, lease, collect, signal);
  const missed = placed.flatMap((each) => ('reason' in each ? [each.reason] : []));
  const held = lease.state === 'held';
  if (held) sayHeld(cli, leaseId, lease);
  const end = held ? { gone: false, lease } : await awaitGone(cli, client, leaseId, signal);
  if (held || !end.gone) stopping.keepStack();
  const ended = failure ? exit.ours : job ? exitOfJob(job, lease.state) : exit.cancelled;
  const code = ended === exit.ok && missed.length > 0 ? exit.ours : ended;
  if (job && !failure) {
    const mark = ended === 0 ? cli.paint('green', '✔') : cli.paint('red', '✗');
    cli.say(`${mark} ${jobSummary(job)}${end.gone ? ' · machine seen gone' : ''}`);
    if (job.lost)
      cli.say(`  Nobody can say how it ended: ${job.reason ?? lease.reason?.message ?? 'its machine is lost'}`);
    if (lease.state === 'expired')
      cli.say('  Its lease expired first. Try: --ttl, or slipway lease extend while it runs.');
    if (code !== ended)
      cli.say(`${cli.paint('red', '✗')} ${missed.length} of ${placed.length} could not be collected: exit ${code}`);
  }
  if (cli.json) {
    const [first] = code === ended ? [] : missed;
    const error = failure ? { error: errorView(failure.error) } : first ? { error: first } : {};
    const collected = collect.length > 0 ? { collected: placed } : {};
    cli.print(JSON.stringify({ lease: end.lease, job: job ?? null, ...collected, exitCode: code, ...error }, null, 2));
  }
  if (failure) sayError(cli, failure.error, false, failure.lines);
  return code;
}

function sayHeld(cli: Cli, leaseId: string, lease: { readonly access?: unknown }): void {
  const { access } = lease;
  cli.say(cli.paint('yellow', `  The machine is kept for a look${access ? `: slipway lease ssh ${leaseId}` : ''}`));
  cli.say(`  slipway lease show ${leaseId} --why · slipway lease release ${leaseId}`);
}

async function detach(
  cli: Cli,
  client: SlipwayClient,
  request: LeaseRequest,
  stopping: Stopping,
  flags: RunFlags,
): Promise<number> {
  const { leaseId } = request;
  const lease = await unlessAborted(stopping.signal, client.leases.open(request));
  sayNotice(cli, lease);
  stopping.keepStack();
  cli.show({ lease }, () => leaseId);
  if (request.job) cli.say(cli.paint('dim', `▸ ${spokenCommand(request.job.command)}`));
  cli.say(`The job runs without you. · slipway task logs -f ${leaseId} · slipway lease cancel ${leaseId}`);
  sayLater(cli, leaseId, flags);
  return exit.ok;
}

/** What is collected without us is kept. */
function sayLater(cli: Cli, leaseId: string, { collect = [] }: RunFlags): void {
  if (collect.length === 0) return;
  cli.say('  What it collects is kept when it has ended:');
  for (const flag of collect) cli.say(`    ${harmless(fetchLater(leaseId, flag))}`);
}

/** We stop, the job does not; a second Ctrl-C says that it should. */
async function leave(
  cli: Cli,
  client: SlipwayClient,
  leaseId: string,
  why: Interrupted | PatienceOver | PipeClosed,
  { interrupts, keepStack, mode }: Stopping,
  flags: RunFlags,
): Promise<number> {
  keepStack();
  const where = mode === undefined || mode === 'foreground' ? '' : ' (stack in the background, ends when idle)';
  const resume = `slipway task logs -f ${leaseId} · slipway lease cancel ${leaseId}`;
  cli.say(
    `\n${why instanceof PatienceOver ? 'Your patience is over' : 'Stopped following'}. The job goes on${where}. · ${resume}`,
  );
  sayLater(cli, leaseId, flags);
  if (why instanceof PipeClosed) return exit.brokenPipe;
  if (why instanceof PatienceOver) {
    if (cli.json) cli.print(JSON.stringify({ leaseId, exitCode: exitOf(why), error: errorView(why) }, null, 2));
    return exitOf(why);
  }
  if (!interrupts.final) cli.say('  Ctrl-C again within 2 s cancels the job.');
  if (!(await interrupts.second())) return exit.cancelled;
  try {
    await client.leases.cancel(leaseId, 'Ctrl-C, twice');
  } catch (error) {
    // Interrupted while it was being opened: then there is nothing to cancel.
    if (!(error instanceof DomainError) || error.type !== 'NotFound') throw error;
  }
  cli.say(`Cancelled. Its machine is being reclaimed. · slipway lease show ${leaseId}`);
  return exit.cancelled;
}

async function freshLeaseId(): Promise<string> {
  const { leaseNameFrom } = await import('../../domain/lease-name.ts');
  return leaseNameFrom(Math.random);
}
