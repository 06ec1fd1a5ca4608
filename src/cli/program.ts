import { Command, CommanderError } from 'commander';
import { DomainError } from '../domain/failure.ts';
import type { Action } from './action.ts';
import { addCompletion } from './commands/completion.ts';
import { addDemo } from './commands/demo.ts';
import { addDev } from './commands/dev.ts';
import { addFile } from './commands/file.ts';
import { addLease } from './commands/lease.ts';
import { addImage } from './commands/image.ts';
import { addOperator } from './commands/operator.ts';
import { addPool } from './commands/pool.ts';
import { addQuota } from './commands/quota.ts';
import { addRun } from './commands/run.ts';
import { addServe } from './commands/serve.ts';
import { addSweep } from './commands/sweep.ts';
import { addTask } from './commands/task.ts';
import { createCli } from './context.ts';
import type { CommonOptions, Program } from './context.ts';
import { examples } from './examples.ts';
import { exit, exitOf } from './exit.ts';
import { flush, isClosedPipe, PipeClosed } from './output/pump.ts';
import { paintFor } from './output/style.ts';
import { errorView, sayError } from './show-error.ts';
import { topics } from './topics.ts';

export const version = '0.1.0';

/** Runs one command line (without node and script) and answers its exit code. */
export async function runProgram(program: Program, argv: readonly string[]): Promise<number> {
  const { io } = program;
  const outcome = { code: exit.ok as number };
  const root = build(program, (code) => (outcome.code = code));
  try {
    await root.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    outcome.code = refused(program, argv, error);
  }
  await Promise.all([flush(io.stdout), flush(io.stderr)]);
  return outcome.code;
}

/** What commander itself refused; its own words are said already. */
function refused({ io }: Program, argv: readonly string[], error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return exit.ok;
    if (argv.includes('--json')) {
      const message = error.message.replace(/^error: /, '');
      io.stdout.write(`${JSON.stringify({ error: { type: 'InvalidRequest', message } }, null, 2)}\n`);
    }
    // `run` keeps its codes for the job, as docker run does.
    return argv[0] === 'run' ? exit.ours : exit.usage;
  }
  throw error;
}

/** The whole tree of commands, with their help; of use beside a run to who writes the reference. */
export function build(program: Program, done: (code: number) => void): Command {
  const { io } = program;
  const action: Action = (options, work, exitsAsJob = () => true) =>
    async function act(this: Command, ...given: unknown[]) {
      const flags = this.optsWithGlobals<CommonOptions & Record<string, unknown>>();
      // Commander gives the arguments, then the options, then the command.
      const args = given.slice(0, -2);
      try {
        done((await work(createCli(program, flags), args, flags)) ?? exit.ok);
      } catch (error) {
        if (error instanceof PipeClosed || isClosedPipe(error)) return done(exit.brokenPipe);
        const code = exitOf(error);
        const paint = paintFor(io.stderr, io.env);
        sayError({ paint, say: (line) => void io.stderr.write(`${line}\n`) }, error, flags.debug === true);
        if (flags.json === true) io.stdout.write(`${JSON.stringify({ error: errorView(error) }, null, 2)}\n`);
        done(
          options.ours !== undefined && exitsAsJob(flags) && code !== exit.cancelled && code !== exit.patienceOver
            ? options.ours
            : code,
        );
      }
    };

  const root = new Command('slipway')
    .description('Machines on lease, proven ready; jobs with live output; nothing left behind.')
    .version(version, '-V, --version')
    .enablePositionalOptions()
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, `${paintFor(io.stderr, io.env)('red', '✗')} `)),
    });
  addRun(root, action);
  addLease(root, action);
  addTask(root, action);
  addFile(root, action);
  addOperator(root, action);
  addImage(root, action);
  addPool(root, action);
  addQuota(root, action);
  addSweep(root, action);
  addDev(root, action);
  addServe(root, action);
  addDemo(root, action);
  addCompletion(root, action);
  addHelp(root, action);
  for (const command of all(root)) finish(command, root);
  return root;
}

const all = (command: Command): readonly Command[] => [command, ...command.commands.flatMap(all)];
const pathOf = (command: Command): string =>
  command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();

/** Required options are missed last: of a slip in such an option's name its near name is the help, not that it is missing. */
function askLate(command: Command): void {
  const required = command.options.filter(({ mandatory }) => mandatory);
  for (const option of required) option.makeOptionMandatory(false);
  if (required.length === 0) return;
  command.hook('preAction', () => {
    for (const option of required) {
      if (command.getOptionValue(option.attributeName()) === undefined)
        command.error(`error: required option '${option.flags}' not specified`);
    }
  });
}

/** What every command has alike. */
function finish(command: Command, root: Command): void {
  const group = command.commands.length > 0;
  command.copyInheritedSettings(root).exitOverride();
  command.helpOption('-h, --help', 'show this');
  command.showHelpAfterError(command === root ? false : `  Try: slipway ${pathOf(command)} --help`);
  if (group) command.helpCommand(false);
  askLate(command);
  if (command !== root && (!group || command.name() === 'dev')) {
    command
      .option('--json', 'the data as JSON on standard output')
      .option(
        '--state <folder>',
        'the state folder (else SLIPWAY_STATE, the nearest .slipway upward, or one made here)',
      )
      .option('--debug', 'with every error where it came from');
  }
  const shown = examples[pathOf(command)];
  if (shown) command.addHelpText('before', `Examples\n${shown.map((line) => `  ${line}`).join('\n')}\n`);
  if (command === root)
    command.addHelpText(
      'after',
      `\nTopics: ${Object.keys(topics)
        .map((topic) => `slipway help ${topic}`)
        .join(' · ')}`,
    );
}

function addHelp(root: Command, action: Action): void {
  root
    .command('help')
    .summary('Help on a command, or on a topic')
    .argument('[words...]', `a command, or ${Object.keys(topics).join(', ')}`)
    .action(
      action({}, async (cli, [words]) => {
        const names = (words ?? []) as readonly string[];
        const topic = topics[names[0] ?? ''];
        if (topic !== undefined) return void cli.io.stdout.write(topic);
        let command: Command = root;
        for (const name of names) {
          const next: Command | undefined = command.commands.find((each) => each.name() === name);
          if (next === undefined) {
            throw new DomainError('InvalidRequest', `There is no help on ${names.join(' ')}.`, {
              hint: `slipway --help · topics: ${Object.keys(topics).join(', ')}`,
            });
          }
          command = next;
        }
        command.outputHelp();
      }),
    );
}
