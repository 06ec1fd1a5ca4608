import type { Command } from 'commander';
import { DomainError } from '../../domain/failure.ts';
import { powerActions } from '../../domain/power.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { outputOptions } from '../options.ts';
import { powerLine } from '../output/machine.ts';
import { sinksOf } from '../output/sinks.ts';
import { count } from '../parse.ts';

/** What a provider can do to a machine from outside, where it can. */
export function addPower(machine: Command, action: Action): void {
  machine
    .command('power')
    .summary('Switch a machine on or off, or reset it')
    .description(
      'Switches a machine on or off, or resets it: a hard boot, the machine is not asked and what runs on it ends. Its disk and its lease stay. A machine that is switched off is not taken for lost; before it is ready its deadline goes on. One of a pool is not used again.',
    )
    .argument('<machine>')
    .argument('<action>', powerActions.join(', '))
    .action(
      action({}, async (cli, [machineId, word]) => {
        const asked = powerActions.find((each) => each === word);
        if (asked === undefined) {
          throw new DomainError('InvalidRequest', `${String(word)}: not something to do to a machine’s power.`, {
            hint: powerActions.join(', '),
          });
        }
        const view = await (await cli.client()).machines.power(machineId as string, asked);
        cli.show(view, () => `${view.machineId} · ${powerLine(view)}`);
        cli.say(`  slipway machine show ${view.machineId}`);
      }),
    );
  outputOptions(machine.command('console'))
    .summary('Show what a machine has said on its console')
    .argument('<machine>')
    .option('--bytes <n>', 'at most so many, the newest (else 16384)', count)
    .action(
      action({}, async (cli, [machineId], { bytes, raw }) => {
        const text = await (await cli.client()).machines.console(machineId as string, bytes as number | undefined);
        await shown(cli, machineId as string, text, raw === true);
      }),
    );
}

async function shown(cli: Cli, machineId: string, text: string, raw: boolean): Promise<void> {
  if (cli.json) return cli.print(JSON.stringify({ machineId, console: text }, null, 2));
  const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  await sinksOf(cli, { raw }).stdout(Buffer.from(whole));
  if (text === '') cli.say(`${machineId} has said nothing on its console.`);
}
