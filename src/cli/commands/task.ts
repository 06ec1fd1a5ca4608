import type { Command } from 'commander';
import type { SlipwayClient } from '../../client/client.ts';
import { parseTaskRef } from '../../domain/ids.ts';
import { streams } from '../../domain/task.ts';
import type { Stream } from '../../domain/task.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit, exitOf, exitOfJob, Interrupted, PatienceOver } from '../exit.ts';
import { listenToInterrupts, unlessAborted } from '../interrupts.ts';
import { followJob } from '../job-output.ts';
import { commandOptions, outputOptions } from '../options.ts';
import { endOf, jobSummary, spokenCommand, taskLine } from '../output/lease.ts';
import { PipeClosed } from '../output/pump.ts';
import { sinksOf } from '../output/sinks.ts';
import type { SinkFlags } from '../output/sinks.ts';
import { harmless, nothing, table } from '../output/table.ts';
import { roundMs, spokenBytes } from '../output/units.ts';
import { duration, offsets, stream } from '../parse.ts';
import { taskSpecOf } from '../run-request.ts';
import type { CommandFlags } from '../run-request.ts';
import { errorView } from '../show-error.ts';

interface RunFlags extends CommandFlags {
  readonly id?: string;
  readonly detach?: boolean;
  readonly waitTimeout?: number;
  readonly raw?: boolean;
}

interface LogFlags extends SinkFlags {
  readonly follow?: boolean;
  readonly since?: Readonly<Record<Stream, number>>;
  readonly waitTimeout?: number;
}

export function addTask(program: Command, action: Action): void {
  const task = program
    .command('task')
    .summary('Tasks on leased machines')
    .description(
      "Run commands on the machine of a lease, and read their output. A task is named lease/task; a lease's id alone means its job.",
    );

  const following = { ours: exit.ours };
  outputOptions(commandOptions(task.command('run').summary('Run a command on the machine of a lease')))
    .description('Runs a command on the machine of a lease with live output, and exits as it did.')
    .usage('[options] <lease> -- command [words…]')
    .argument('<lease>')
    .argument('[command...]', 'the command and its words, after --')
    .option('--id <task>', 'name the task; the same id and flags again is the same task, not a second run')
    .option('-d, --detach', 'print the task and leave it running')
    .option('--wait-timeout <duration>', 'your own patience; the task goes on after it (exit 7)', duration)
    .action(
      action(following, (cli, [leaseId, words], options) =>
        run(cli, leaseId as string, words as readonly string[], options),
      ),
    );
  task
    .command('list')
    .summary('List the tasks of a lease')
    .argument('<lease>')
    .action(
      action({}, async (cli, [leaseId]) => {
        const tasks = await (await cli.client()).tasks.list(leaseId as string);
        cli.show(tasks, () =>
          table(
            ['TASK', 'STATE', 'END', 'AGE', 'STDOUT', 'STDERR', 'COMMAND'],
            tasks.map(({ taskId, state, startedAt, result, command }) => [
              taskId,
              state,
              result ? endOf(result) : nothing,
              startedAt ? roundMs(Date.now() - Date.parse(startedAt)) : nothing,
              result ? spokenBytes(result.stdout.bytes) : nothing,
              result ? spokenBytes(result.stderr.bytes) : nothing,
              spokenCommand(command),
            ]),
          ),
        );
        if (tasks.length === 0) cli.say(`No tasks. · slipway task run ${String(leaseId)} -- uname -a`);
      }),
    );
  task
    .command('show')
    .summary('Show a task with the end of its output')
    .argument('<task>', 'lease/task, or a lease for its job')
    .action(
      action({}, async (cli, [ref]) => {
        const { leaseId, taskId } = parseTaskRef(ref as string);
        const status = await (await cli.client()).tasks.show(leaseId, taskId);
        cli.show(status, () =>
          [
            `${leaseId}/${taskLine(status, Date.now())}`,
            ...streams.flatMap((stream) =>
              status[stream].tail === ''
                ? []
                : [
                    // An ellipsis where there is more before it.
                    `  ${stream}${status[stream].bytes > Buffer.byteLength(status[stream].tail) ? ' …' : ''}`,
                    ...harmless(status[stream].tail.trimEnd())
                      .split('\n')
                      .map((line) => `    ${line}`),
                  ],
            ),
          ].join('\n'),
        );
        if (!status.result) cli.say(`  slipway task logs -f ${leaseId}/${taskId}`);
      }),
    );
  outputOptions(task.command('logs'))
    .summary('Print the output of a task')
    .description(
      'Prints what is kept of a task’s output: its stdout to stdout, its stderr to stderr, byte for byte (on a terminal without escape sequences).',
    )
    .argument('<task>', 'lease/task, or a lease for its job')
    .option('-f, --follow', 'go on as it comes, and exit as the command did')
    .option('--stream <name>', 'only stdout, or only stderr', stream)
    .option('--since <bytes>', 'from this byte on; two numbers are those of stdout,stderr', offsets)
    .option('--wait-timeout <duration>', 'your own patience (exit 7)', duration)
    .action(
      action(
        { ours: exit.ours },
        async (cli, [ref], options) => {
          const task = parseTaskRef(ref as string);
          const client = await cli.client();
          const flags = options as LogFlags;
          if (flags.follow) return followed(cli, client, task, flags);
          await printKept(cli, client, task, flags);
          return exit.ok;
        },
        ({ follow }) => follow === true,
      ),
    );
  task
    .command('cancel')
    .summary('Stop a task: TERM, a grace, KILL')
    .argument('<task>', 'lease/task, or a lease for its job')
    .option('--reason <text>', 'kept with the message')
    .option('--yes', 'do not ask (it never does)')
    .action(
      action({}, async (cli, [ref], { reason }) => {
        const { leaseId, taskId } = parseTaskRef(ref as string);
        const status = await (await cli.client()).tasks.cancel(leaseId, taskId, reason as string | undefined);
        cli.show(status, () => `${leaseId}/${taskId} · ${status.result ? endOf(status.result) : 'being stopped'}`);
        if (!status.result) cli.say(`  slipway task logs -f ${leaseId}/${taskId}`);
      }),
    );
}

async function run(cli: Cli, leaseId: string, words: readonly string[], flags: RunFlags): Promise<number> {
  const client = await cli.client();
  const interrupts = listenToInterrupts(cli.io);
  const { randomBytes } = await import('node:crypto');
  const taskId = flags.id ?? `t-${randomBytes(4).toString('hex')}`;
  try {
    const spec = await unlessAborted(
      interrupts.signal,
      taskSpecOf(cli, client, leaseId, words, flags, interrupts.signal),
    );
    const accepted = await unlessAborted(interrupts.signal, client.tasks.run(leaseId, taskId, spec));
    if (flags.detach) {
      cli.show(accepted, () => `${leaseId}/${taskId}`);
      cli.say(`The task runs without you. · slipway task logs -f ${leaseId}/${taskId}`);
      return exit.ok;
    }
  } finally {
    interrupts.end();
  }
  cli.say(cli.paint('dim', `▸ ${leaseId}/${taskId}`));
  return followed(cli, client, { leaseId, taskId }, flags);
}

async function followed(
  cli: Cli,
  client: SlipwayClient,
  task: { readonly leaseId: string; readonly taskId: string },
  { waitTimeout: withinMs, since, raw, stream: only }: Omit<LogFlags, 'follow'>,
): Promise<number> {
  const interrupts = listenToInterrupts(cli.io);
  const patience = new AbortController();
  const timer =
    withinMs === undefined ? undefined : setTimeout(() => patience.abort(new PatienceOver(withinMs)), withinMs);
  const signal = AbortSignal.any([interrupts.signal, patience.signal]);
  const name = `${task.leaseId}/${task.taskId}`;
  try {
    const job = await unlessAborted(signal, followJob(cli, client, task, { signal, from: since, raw, stream: only }));
    const code = exitOfJob(job);
    cli.say(`${code === 0 ? cli.paint('green', '✔') : cli.paint('red', '✗')} ${jobSummary(job)}`);
    if (job.lost) cli.say(`  Nobody can say how it ended: ${job.reason ?? 'its machine is lost'}`);
    if (cli.json) cli.print(JSON.stringify({ job, exitCode: code }, null, 2));
    return code;
  } catch (error) {
    if (error instanceof PipeClosed) return exit.brokenPipe;
    if (!(error instanceof Interrupted) && !(error instanceof PatienceOver)) throw error;
    const why = error instanceof Interrupted ? 'Stopped following' : 'Your patience is over';
    cli.say(`\n${why}. The task goes on. · slipway task logs -f ${name} · slipway task cancel ${name}`);
    if (cli.json) cli.print(JSON.stringify({ task: name, error: errorView(error) }, null, 2));
    return exitOf(error);
  } finally {
    clearTimeout(timer);
    interrupts.end();
  }
}

async function printKept(
  cli: Cli,
  client: SlipwayClient,
  { leaseId, taskId }: { leaseId: string; taskId: string },
  { since, ...flags }: Omit<LogFlags, 'follow'>,
): Promise<void> {
  const asked = streams.filter((each) => flags.stream === undefined || flags.stream === each);
  if (cli.json) {
    // Output need not be text: with --json it is base64.
    const kept: Record<string, string> = {};
    for (const each of asked) {
      const bytes = await new Response(await client.tasks.output(leaseId, taskId, each, since?.[each])).arrayBuffer();
      kept[each] = Buffer.from(bytes).toString('base64');
    }
    cli.print(JSON.stringify({ leaseId, taskId, encoding: 'base64', ...kept }, null, 2));
    return;
  }
  const sinks = sinksOf(cli, flags);
  for (const each of asked) {
    const reader = (await client.tasks.output(leaseId, taskId, each, since?.[each])).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) await sinks[each](next.value);
  }
}
