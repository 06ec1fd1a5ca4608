import type { Command } from 'commander';
import type { SlipwayClient } from '../../client/client.ts';
import type { Stack } from '../../dev/stack.ts';
import { jobTaskId, leaseWorkflowId } from '../../domain/ids.ts';
import type { LeaseRequest } from '../../domain/lease.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit, exitOfJob } from '../exit.ts';
import { listenToInterrupts } from '../interrupts.ts';
import { followJob } from '../job-output.ts';
import { jobSummary, spokenCommand } from '../output/lease.ts';
import { spokenMs } from '../output/units.ts';
import { followPhases } from '../progress.ts';
import { awaitGone, explainFailure } from '../run-flow.ts';
import { sayError } from '../show-error.ts';
import { withStack } from '../with-stack.ts';

export function addDemo(program: Command, action: Action): void {
  program
    .command('demo')
    .summary('Show the whole way once: stack, machine, job, nothing left')
    .description(
      'Starts a stack if none runs, leases bundle hello, runs its greeting with live output, and gives the machine back.',
    )
    .action(action({}, (cli) => demo(cli)));
}

async function demo(cli: Cli): Promise<number> {
  const interrupts = listenToInterrupts(cli.io);
  try {
    return await withStack(cli, { signal: interrupts.signal }, (client, _keep, stack) =>
      show(cli, client, stack, interrupts.signal),
    );
  } finally {
    interrupts.end();
  }
}

async function show(cli: Cli, client: SlipwayClient, stack: Stack | undefined, signal: AbortSignal): Promise<number> {
  const { randomBytes } = await import('node:crypto');
  const leaseId = `demo-${randomBytes(2).toString('hex')}`;
  await sayStack(cli, client, stack);
  const request: LeaseRequest = { leaseId, bundle: 'hello', job: { command: ['./greeting.sh'] } };
  cli.say(`\nLeasing bundle hello as ${leaseId}`);
  const began = performance.now();
  await client.leases.open(request);
  try {
    const progress = followPhases(cli, client, leaseId, signal);
    const ready = progress.ready.then((view) => {
      if (view.times.ready === undefined) return view;
      const ms = Math.min(performance.now() - began, Date.parse(view.times.ready) - Date.parse(view.times.requested));
      cli.say(`  ${'ready'.padEnd(12)} ${spokenMs(ms).padStart(8)}   after the request\n`);
      cli.say(`$ ${spokenCommand(['./greeting.sh'])}        (task ${leaseId}/${jobTaskId})`);
      return view;
    });
    ready.catch(() => undefined); // awaited below, or by the first byte
    const following = followJob(
      cli,
      client,
      { leaseId, taskId: jobTaskId },
      {
        signal,
        onFirst: () => {
          void progress.hurry();
          return ready;
        },
      },
    );
    following.catch(() => undefined); // awaited below, unless there is no job
    if ((await ready).times.ready === undefined) {
      const { error, lines } = await explainFailure(client, await client.leases.wait(leaseId, 'ended', { signal }));
      sayError(cli, error, false, lines);
      return exitOfFailure;
    }
    const job = await following;
    cli.say(`${jobSummary(job)}\n`);
    const releasing = performance.now();
    const { gone, lease } = await awaitGone(cli, client, leaseId, signal);
    if (gone)
      cli.say(
        `Releasing · reclaiming · seen gone after ${spokenMs(performance.now() - releasing)}. Nothing is left.\n`,
      );
    sayNext(cli, stack, leaseId);
    if (cli.json) cli.print(JSON.stringify({ lease, job }, null, 2));
    return gone ? exitOfJob(job) : exitOfFailure;
  } catch (error) {
    // Nothing may be left of a demonstration: what was opened is taken back.
    if (signal.aborted) await client.leases.cancel(leaseId, 'demo stopped');
    throw error;
  }
}

const exitOfFailure = exit.ours;

async function sayStack(cli: Cli, client: SlipwayClient, stack: Stack | undefined): Promise<void> {
  if (stack) {
    const ui = stack.temporal.ui === undefined ? '' : ` · UI ${stack.temporal.ui}`;
    cli.say(`Temporal dev server ready · ${stack.temporal.address}${ui}`);
  }
  for (const { name, ok, summary, items } of await client.checkProviders('local')) {
    cli.say(`Provider ${name} ${ok ? 'ready' : 'is not ready'} · ${summary}`);
    for (const item of items) if (!item.ok) cli.say(`  ${item.name}: ${item.text}`);
  }
  if (stack) cli.say(`API ${stack.url} · worker ready`);
}

function sayNext(cli: Cli, stack: Stack | undefined, leaseId: string): void {
  const ui = stack?.temporal.ui;
  if (stack && ui !== undefined) {
    const at = `${ui}/namespaces/${stack.temporal.namespace}/workflows/${encodeURIComponent(leaseWorkflowId(leaseId))}`;
    cli.say(`See what happened   ${at}   (while \`slipway dev\` runs)`);
  }
  cli.say('Your own job        npx slipway run --bundle hello -- uname -a');
  cli.say('Keep a stack up     npx slipway dev');
}
