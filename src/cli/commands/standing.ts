import type { Command } from 'commander';
import { exit } from '../exit.ts';
import type { Action } from '../action.ts';
import { harmless, nothing, table } from '../output/table.ts';
import { roundMs } from '../output/units.ts';

/** Machines of an inventory: they were there before us, and stay. */
export function addStanding(provider: Command, action: Action): void {
  provider
    .command('machines')
    .summary('The machines of an inventory, and who has them')
    .argument('<provider>', 'one of type static')
    .action(
      action({}, async (cli, [name]) => {
        const machines = await (await cli.client()).standing.list(name as string);
        cli.show(machines, () =>
          table(
            ['MACHINE', 'STATE', 'FOR', 'LAST', 'WHY'],
            machines.map(({ name: machine, state, since, machineId, why }) => [
              machine,
              state,
              since === undefined ? nothing : roundMs(Date.now() - Date.parse(since)),
              machineId ?? nothing,
              why === undefined ? nothing : harmless(why),
            ]),
          ),
        );
        if (machines.some(({ state }) => state === 'out'))
          cli.say(`  slipway provider put-back ${String(name)} MACHINE lends it again`);
        return exit.ok;
      }),
    );
  provider
    .command('put-back')
    .summary('Lend a machine of an inventory again that was taken out')
    .description(
      'Lends a machine of an inventory again that was taken out because it could not be made clean. It must answer with its pinned key; what else it is like, you answer for.',
    )
    .argument('<provider>', 'one of type static')
    .argument('<machine>', 'its name in the inventory')
    .action(
      action({}, async (cli, [name, machine]) => {
        const view = await (await cli.client()).standing.putBack(name as string, machine as string);
        cli.show(view, () => `${view.name} is ${view.state}.`);
      }),
    );
}
