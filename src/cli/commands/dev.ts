import type { Command } from 'commander';
import type { Stack } from '../../dev/stack.ts';
import { DomainError } from '../../domain/failure.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit } from '../exit.ts';
import { duration } from '../parse.ts';
import { stackProgress } from '../with-stack.ts';

export function addDev(program: Command, action: Action): void {
  const dev = program
    .command('dev')
    .summary('Keep a stack up on this computer')
    .description(
      'Keeps Temporal, a worker and the API up on this computer, until Ctrl-C. Leases and machines stay for the next start.',
    )
    .option('--background', 'answer when it is up, and let it run until it is idle')
    .option('--idle <duration>', 'with --background: end after so long without work', duration)
    .option('--temporal [profile]', "use the server of TEMPORAL_ADDRESS, or of a profile of Temporal's configuration")
    .action(action({}, (cli, _args, options) => start(cli, options)));
  dev
    .command('stop')
    .summary('End the stack of this folder, in order')
    .action(
      action({}, async (cli) => {
        const { stopStack } = await cli.stack();
        const outcome = await stopStack(cli.state);
        cli.show({ outcome }, () =>
          outcome === 'absent'
            ? `No stack runs for ${cli.state.root}.`
            : 'Stopped. Leases and machines stay for the next start.',
        );
      }),
    );
  dev
    .command('status')
    .summary('Say whether a stack runs, and where')
    .action(
      action({}, async (cli) => {
        const { findStack } = await cli.stack();
        const stack = await findStack(cli.state);
        cli.show({ state: cli.state.root, stack: stack ?? null }, () =>
          stack ? addresses(stack).join('\n') : `No stack runs for ${cli.state.root}.`,
        );
        if (stack) return exit.ok;
        cli.say('  slipway dev · slipway dev --background');
        return 3;
      }),
    );
}

export const addresses = ({ url, temporal, pid, mode, startedAt }: Stack): readonly string[] => [
  `API        ${url}`,
  `Temporal   ${temporal.address} · namespace ${temporal.namespace}`,
  ...(temporal.ui === undefined ? [] : [`UI         ${temporal.ui}`]),
  `process    ${pid} · ${mode} · since ${startedAt}`,
];

/** Said plainly: the token guards the API alone. */
const openDoor = 'Whoever reaches the Temporal port owns the stack: it is open to every user of this computer.';

async function start(cli: Cli, options: Readonly<Record<string, unknown>>): Promise<void> {
  const { ensureStack, runForeground } = await cli.stack();
  const given = options['temporal'];
  const temporal = given === undefined ? {} : { temporal: { profile: typeof given === 'string' ? given : '' } };
  const progress = stackProgress(cli);
  const ready = (stack: Stack): void => {
    progress.end();
    cli.show(stack, () => addresses(stack).join('\n'));
    cli.say(cli.paint('yellow', openDoor));
    cli.say('  npx slipway run --bundle hello -- uname -a');
  };
  if (options['background']) {
    const idle = options['idle'] === undefined ? {} : { idleMs: options['idle'] as number };
    const { stack, started } = await ensureStack(cli.state, {
      mode: 'background',
      onProgress: progress.onProgress,
      ...temporal,
      ...idle,
    }).finally(progress.end);
    ready(stack);
    cli.say(started ? 'In the background; it ends when idle · slipway dev stop' : 'It ran already · slipway dev stop');
    return;
  }
  if (options['idle'] !== undefined) {
    throw new DomainError('InvalidRequest', '--idle is for --background.', {
      hint: 'slipway dev --background --idle 10m',
    });
  }
  try {
    await runForeground(cli.state, { onProgress: progress.onProgress, onReady: ready, say: cli.say, ...temporal });
  } finally {
    progress.end();
  }
}
