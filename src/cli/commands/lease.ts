import type { Command } from 'commander';
import type { LeaseView } from '../../contract/http.ts';
import { isLeaseEnd, waitKinds } from '../../contract/wait.ts';
import type { WaitKind } from '../../contract/wait.ts';
import { DomainError, failureTable } from '../../domain/failure.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit, exitOf, Interrupted, PatienceOver } from '../exit.ts';
import { listenToInterrupts, unlessAborted } from '../interrupts.ts';
import { addLeaseSsh } from './lease-ssh.ts';
import { leaseOptions } from '../options.ts';
import { leaseStory, leaseTable } from '../output/lease.ts';
import { clock } from '../output/units.ts';
import { collectFlag, count, duration, each, instant } from '../parse.ts';
import { followPhases } from '../progress.ts';
import { leaseRequestOf } from '../run-request.ts';
import type { LeaseFlags } from '../run-request.ts';
import { explainFailure, lastLines, sayNotice } from '../run-flow.ts';
import { errorView, sayError } from '../show-error.ts';
import { testimonyLines, testimonyOf } from '../testimony.ts';

export function addLease(program: Command, action: Action): void {
  const lease = program
    .command('lease')
    .summary('Machines on lease')
    .description('Lease machines, look at leases, end them.');

  leaseOptions(lease.command('create').summary('Lease a machine'))
    .description('Leases a machine of a bundle and waits until it is proven ready. Prints the id of the lease.')
    .option('--id <lease>', 'name the lease; the same id and flags again is the same lease')
    .option('--key <public key>', 'an OpenSSH public key that may log in; may be repeated', each(String))
    .option(
      '--collect <remote>',
      'keep a file or folder of the machine when the lease ends, for slipway file get; may be repeated',
      each(collectFlag),
    )
    .option('--no-wait', 'answer at once, before the machine is ready')
    .option('--wait-timeout <duration>', 'your own patience; the lease goes on after it (exit 7)', duration)
    .action(action({}, (cli, _args, options) => create(cli, options as unknown as CreateFlags)));
  lease
    .command('list')
    .summary('List leases')
    .option('-a, --all', 'also those that have ended')
    .option('--owner <name>', 'only theirs')
    .option('--limit <n>', 'at most so many, the newest', count, 100)
    .action(
      action({}, async (cli, _args, { all, owner, limit }) => {
        const client = await cli.client();
        const leases = await client.leases.list({
          state: all ? 'all' : 'open',
          ...(owner === undefined ? {} : { owner: owner as string }),
          limit: limit as number,
        });
        cli.show(leases, () => leaseTable(leases, Date.now()));
        if (leases.length === 0) cli.say('No leases. · slipway lease create --bundle hello · slipway lease list --all');
      }),
    );
  lease
    .command('show')
    .summary('Show a lease with its machine and tasks')
    .argument('<lease>')
    .option('--why', 'also what its machine had to say when it failed: the step, cloud-init, the console')
    .action(
      action({}, async (cli, [leaseId], { why }) => {
        const client = await cli.client();
        const view = await client.leases.show(leaseId as string);
        const testimony = why ? await testimonyOf(client, view) : [];
        cli.show(why ? { ...view, why: testimony } : view, () => leaseStory(view, Date.now()));
        if (!why) return;
        (await lastLines(client, view)).forEach(cli.say);
        testimony.flatMap(testimonyLines).forEach(cli.say);
      }),
    );
  lease
    .command('wait')
    .summary('Wait until a lease is ready, ended, or its machine gone')
    .argument('<lease>')
    .option('--for <what>', waitKinds.join(', '), 'ready')
    .option('--wait-timeout <duration>', 'your own patience (exit 7)', duration)
    .action(
      action({}, (cli, [leaseId], options) =>
        waitFor(cli, leaseId as string, options['for'] as string, options['waitTimeout'] as number | undefined),
      ),
    );
  lease
    .command('extend')
    .summary('Give a lease more time')
    .argument('<lease>')
    .option('--by <duration>', 'longer than now by', duration)
    .option('--until <instant>', 'until, as ISO 8601', instant)
    .action(
      action({}, async (cli, [leaseId], { by, until }) => {
        if ((by === undefined) === (until === undefined)) {
          throw new DomainError('InvalidRequest', 'Say how much longer, in one way.', {
            hint: 'slipway lease extend LEASE --by 1h',
          });
        }
        const more = by === undefined ? { untilMs: until as number } : { byMs: by as number };
        const view = await (await cli.client()).leases.extend(leaseId as string, more);
        cli.show(view, () => `${view.leaseId} · ${view.state} · expires ${clock(view.times.expires ?? '')}`);
      }),
    );
  const ending = (name: 'release' | 'cancel', summary: string): void =>
    void lease
      .command(name)
      .summary(summary)
      .argument('<lease>')
      .option('--reason <text>', 'kept with the message')
      .option('--wait', 'until its machine is seen gone')
      .option('--yes', 'do not ask (it never does)')
      .action(
        action({}, async (cli, [leaseId], { reason, wait }) => {
          const client = await cli.client();
          const asked = await client.leases[name](leaseId as string, reason as string | undefined);
          const view = wait ? await client.leases.wait(leaseId as string, 'gone') : asked;
          sayEnd(cli, view);
        }),
      );
  ending('release', 'Give the machine back when its tasks have been stopped');
  ending('cancel', 'Stop the tasks and give the machine back');
  lease
    .command('ready')
    .summary('Say that the machine is ready (bundles with `ready: manual`)')
    .argument('<lease>')
    .option('--result <n>', '0: ready; else it never will be', Number)
    .option('--message <text>', 'why')
    .action(
      action({}, async (cli, [leaseId], { result, message }) => {
        const client = await cli.client();
        const body = {
          ...(result === undefined ? {} : { result: result as number }),
          ...(message === undefined ? {} : { message: message as string }),
        };
        const view = await client.leases.markReady(leaseId as string, body);
        cli.show(view, () => `${view.leaseId} · ${view.state}`);
      }),
    );
  addLeaseSsh(lease, action);
}

function sayEnd(cli: Cli, view: LeaseView): void {
  const machine = view.machine ? ` · machine ${view.machine.phase === 'gone' ? 'seen gone' : view.machine.phase}` : '';
  cli.show(view, () => `${view.leaseId} · ${view.state}${machine}`);
  if (!isLeaseEnd(view.state) || (view.machine && view.machine.phase !== 'gone')) {
    cli.say(`  slipway lease wait ${view.leaseId} --for gone`);
  }
}

interface CreateFlags extends LeaseFlags {
  readonly id?: string;
  readonly wait: boolean;
  readonly waitTimeout?: number;
}

async function create(cli: Cli, flags: CreateFlags): Promise<number> {
  const placed = flags.collect?.find(({ local }) => local !== undefined);
  if (placed) {
    throw new DomainError(
      'InvalidRequest',
      `--collect ${placed.remote}:${placed.local}: nobody waits here to place it.`,
      {
        hint: `--collect ${placed.remote}, and slipway file get when the lease has ended.`,
      },
    );
  }
  const client = await cli.client();
  const { leaseNameFrom } = await import('../../domain/lease-name.ts');
  const leaseId = flags.id ?? leaseNameFrom(Math.random);
  const interrupts = listenToInterrupts(cli.io);
  const patience = flags.waitTimeout === undefined ? [] : [abortAfter(flags.waitTimeout)];
  const signal = AbortSignal.any([interrupts.signal, ...patience]);
  try {
    const request = await unlessAborted(signal, leaseRequestOf(cli, client, leaseId, flags, signal));
    const opened = await unlessAborted(signal, client.leases.open(request));
    sayNotice(cli, opened);
    if (!flags.wait) {
      cli.show(opened, () => leaseId);
      cli.say(`  slipway lease wait ${leaseId} · slipway lease show ${leaseId}`);
      return exit.ok;
    }
    return await announce(cli, await followPhases(cli, client, leaseId, signal).ready, client);
  } catch (error) {
    return stopWaiting(cli, leaseId, error);
  } finally {
    interrupts.end();
  }
}

function abortAfter(ms: number): AbortSignal {
  const patience = new AbortController();
  setTimeout(() => patience.abort(new PatienceOver(ms)), ms).unref();
  return patience.signal;
}

async function announce(cli: Cli, view: LeaseView, client: Awaited<ReturnType<Cli['client']>>): Promise<number> {
  const { leaseId, access } = view;
  if (view.times.ready === undefined) {
    const over = isLeaseEnd(view.state) || view.state === 'held' ? view : await client.leases.wait(leaseId, 'ended');
    const { error, lines } = await explainFailure(client, over);
    if (cli.json) cli.print(JSON.stringify({ ...over, error: errorView(error) }, null, 2));
    sayError(cli, error, false, lines);
    return failureTable[error.type].exit;
  }
  // A lease that was ready, and is over by now, does not come back.
  if (isLeaseEnd(view.state) || view.state === 'releasing')
    throw new DomainError('Gone', `Lease ${leaseId} is ${view.state}.`, { hint: 'a new lease.' });
  cli.show(view, () => leaseId);
  if (access)
    cli.say(
      `${cli.paint('green', '✔')} ready · ${access.user}@${access.address} port ${access.port} · key ${access.fingerprint}`,
    );
  cli.say(
    `  slipway task run ${leaseId} -- uname -a · slipway lease ssh ${leaseId} · slipway lease release ${leaseId}`,
  );
  return exit.ok;
}

function stopWaiting(cli: Cli, leaseId: string, error: unknown): number {
  if (!(error instanceof Interrupted) && !(error instanceof PatienceOver)) throw error;
  const why = error instanceof Interrupted ? 'Stopped waiting' : 'Your patience is over';
  cli.say(`\n${why}. The lease goes on. · slipway lease wait ${leaseId} · slipway lease cancel ${leaseId}`);
  if (cli.json) cli.print(JSON.stringify({ leaseId, error: errorView(error) }, null, 2));
  return exitOf(error);
}

async function waitFor(cli: Cli, leaseId: string, what: string, withinMs: number | undefined): Promise<number> {
  const kind = waitKinds.find((each) => each === what);
  if (kind === undefined) {
    throw new DomainError('InvalidRequest', `--for ${what}: not something to wait for.`, {
      hint: waitKinds.join(', '),
    });
  }
  const client = await cli.client();
  const interrupts = listenToInterrupts(cli.io);
  const signal = AbortSignal.any([interrupts.signal, ...(withinMs === undefined ? [] : [abortAfter(withinMs)])]);
  try {
    return await told(cli, client, leaseId, kind, signal);
  } catch (error) {
    return stopWaiting(cli, leaseId, error);
  } finally {
    interrupts.end();
  }
}

async function told(
  cli: Cli,
  client: Awaited<ReturnType<Cli['client']>>,
  leaseId: string,
  kind: WaitKind,
  signal: AbortSignal,
): Promise<number> {
  const view = await unlessAborted(signal, client.leases.wait(leaseId, kind, { signal }));
  if (kind === 'ready') return announce(cli, view, client);
  sayEnd(cli, view);
  return view.machine?.phase === 'stuck' || view.machine?.phase === 'forgotten'
    ? failureTable.ProviderUnavailable.exit
    : exit.ok;
}
