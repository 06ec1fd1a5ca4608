import type { SlipwayClient } from '../client/client.ts';
import type { Stack } from '../dev/stack.ts';
import type { StackProgress } from '../dev/progress.ts';
import type { Cli } from './context.ts';
import { unlessAborted } from './interrupts.ts';
import { LiveLine } from './output/live-line.ts';
import { spokenMs } from './output/units.ts';

/** Says what a starting stack does: lines, and on a terminal one line that is rewritten while a step lasts. */
export function stackProgress(cli: Cli): {
  readonly onProgress: (progress: StackProgress) => void;
  readonly end: () => void;
} {
  const live = new LiveLine(cli.io.stderr);
  let lastSaid = '';
  return {
    onProgress: ({ text, fraction, elapsedMs, warning }) => {
      if (fraction !== undefined || elapsedMs !== undefined) {
        live.show(() => `${bar(fraction)}${elapsedMs === undefined ? '' : `${spokenMs(elapsedMs)}  `}${text}`);
        // Without a terminal the step is told once.
        const step = text.split(':', 1)[0] ?? text;
        if (cli.io.stderr.isTTY === true || step === lastSaid) return;
        lastSaid = step;
      }
      live.clear();
      cli.say(warning ? cli.paint('yellow', text) : text);
    },
    end: () => live.end(),
  };
}

const barWidth = 18;
const bar = (fraction: number | undefined): string => {
  if (fraction === undefined) return '';
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * barWidth);
  return `${'█'.repeat(full)}${'░'.repeat(barWidth - full)}  `;
};

/**
 * Work on the stack that runs, or else on one that is started for it and stopped after it, unless the work wants it kept
 * (then it goes on in the background and ends when idle).
 */
export async function withStack<T>(
  cli: Cli,
  options: { readonly detach?: boolean; readonly signal: AbortSignal },
  work: (client: SlipwayClient, keepStack: () => void, stack?: Stack) => Promise<T>,
): Promise<T> {
  if (cli.remote) return work(await cli.client(), () => undefined);
  const { ensureStack, stopStack } = await cli.stack();
  const progress = stackProgress(cli);
  const mode = options.detach ? 'background' : 'one-shot';
  const ensured = await unlessAborted(
    options.signal,
    ensureStack(cli.state, { mode, onProgress: progress.onProgress }),
  ).finally(progress.end);
  if (ensured.started && options.detach)
    cli.say('Started a stack in the background; it ends when idle · slipway dev stop');
  let keep = options.detach === true;
  try {
    return await work(await cli.clientOf(ensured.stack), () => (keep = true), ensured.stack);
  } finally {
    const left = ensured.started && !keep && (await stopStack(cli.state, { unlessBusy: true })) === 'busy';
    if (left) cli.say('Other work is open: the stack goes on in the background and ends when idle · slipway dev stop');
  }
}
