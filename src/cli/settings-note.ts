import type { Cli } from './context.ts';
import { mistakeLine } from './output/mistake.ts';

/** Who looks at what slipway.yaml declares is told when it has mistakes: what is shown is of its last good version. */
export async function noteSettings(cli: Cli): Promise<void> {
  if (cli.remote) return;
  const { checkSettings } = await import('../config/settings.ts');
  const mistakes = await checkSettings(cli.state);
  if (mistakes.length === 0) return;
  cli.say(`${cli.paint('yellow', '!')} slipway.yaml has mistakes; its last good version stays in force:`);
  for (const mistake of mistakes) cli.say(`    ${mistakeLine(cli.io.cwd, mistake)}`);
}
