import type { RootCommand } from '@bomb.sh/tab';
import { Argument, type Command } from 'commander';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
/** Completing must not be slower than typing: a stack that does not answer by then gives no names. */
const namesWithinMs = 700;

export function addCompletion(root: Command, action: Action): void {
  root
    .command('completion')
    .summary('Print a completion script for your shell')
    .description('Prints a script that completes commands, options, and the names of bundles and leases in your shell.')
    .addArgument(new Argument('<shell>').choices(shells))
    .action(
      action({}, async (_cli, [shell]) => {
        const { RootCommand } = await import('@bomb.sh/tab');
        new RootCommand().setup(root.name(), root.name(), shell as string);
      }),
    );
  // What the scripts call: `slipway complete -- lease show ''`.
  root
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(
      action({}, async (cli, [words]) => {
        const { RootCommand } = await import('@bomb.sh/tab');
        const tree = new RootCommand();
        describe(tree, root, await namesFor(cli, words as readonly string[]));
        tree.parse([...(words as readonly string[])]);
      }),
    );
}

interface Names {
  readonly bundles: readonly string[];
  readonly leases: readonly string[];
}

/** Only what the line can be about is asked for. */
async function namesFor(cli: Cli, words: readonly string[]): Promise<Names> {
  const none: Names = { bundles: [], leases: [] };
  const bundles = words.some((word) => word === '-b' || word.startsWith('--bundle') || word === 'bundle');
  const leases = ['lease', 'task', 'file'].includes(words[0] ?? '');
  if (!bundles && !leases) return none;
  const ask = async (): Promise<Names> => {
    const client = await cli.client();
    return {
      bundles: bundles ? (await client.bundles.list()).map(({ name }) => name) : [],
      leases: leases ? (await client.leases.list()).map(({ leaseId }) => leaseId) : [],
    };
  };
  const late = new Promise<Names>((resolve) => setTimeout(resolve, namesWithinMs, none).unref());
  // Whoever presses tab wants no error in the line.
  return Promise.race([ask().catch(() => none), late]);
}

/** The commands and options as they are, and names where an argument is one. */
function describe(tree: RootCommand, command: Command, names: Names, path = ''): void {
  const own = path === '' ? tree : tree.command(path, command.summary());
  const help = command.createHelp();
  for (const option of help.visibleOptions(command)) {
    const long = option.long?.slice(2);
    if (long === undefined) continue;
    const values = long === 'bundle' ? names.bundles : (option.argChoices ?? []);
    const alias = option.short?.slice(1);
    if (option.required || option.optional)
      own.option(long, option.description, (complete) => values.forEach((value) => complete(value, '')), alias);
    else if (alias === undefined) own.option(long, option.description);
    else own.option(long, option.description, alias);
  }
  for (const argument of command.registeredArguments) {
    const values = argument.argChoices ?? valuesOf(argument.name(), names);
    own.argument(argument.name(), (complete) => values.forEach((value) => complete(value, '')), argument.variadic);
  }
  for (const child of help.visibleCommands(command))
    describe(tree, child, names, path === '' ? child.name() : `${path} ${child.name()}`);
}

const valuesOf = (argument: string, { bundles, leases }: Names): readonly string[] =>
  argument === 'lease' || argument === 'task' ? leases : argument === 'bundle' ? bundles : [];
