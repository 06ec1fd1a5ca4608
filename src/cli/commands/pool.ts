import type { Command } from 'commander';
import type { SlipwayClient } from '../../client/client.ts';
import { DomainError } from '../../domain/failure.ts';
import type { PoolStatus } from '../../domain/pool-status.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { sayMistakes } from '../output/mistake.ts';
import { poolStory, poolTable } from '../output/pool.ts';
import { wholeNumber } from '../parse.ts';
import { noteSettings } from '../settings-note.ts';

export function addPool(program: Command, action: Action): void {
  const pool = program
    .command('pool')
    .summary('Machines kept warm')
    .description('Machines kept warm. Pools are declared under `pools:` of slipway.yaml.');
  pool
    .command('list')
    .summary('List the pools')
    .action(
      action({}, async (cli) => {
        const client = await cli.client();
        const pools = await client.pools.list();
        cli.show(pools, () => poolTable(pools));
        await noteBundles(cli, client, pools);
        if (pools.length === 0) cli.say('No pools. They are declared under pools: of slipway.yaml.');
        await noteSettings(cli);
      }),
    );
  pool
    .command('show')
    .summary('Show a pool with its machines and who waits for one')
    .argument('<pool>')
    .action(
      action({}, async (cli, [name]) => {
        const client = await cli.client();
        const pool = await client.pools.show(name as string);
        show(cli, pool);
        await noteBundles(cli, client, [pool]);
        await noteSettings(cli);
      }),
    );
  pool
    .command('set')
    .summary('Keep more or fewer machines, until slipway.yaml says something else')
    .description(
      'Keep more or fewer machines. What is set by hand, also against the schedule, stands until the pool’s declaration in slipway.yaml changes, or until --reset. Ends a drain.',
    )
    .argument('<pool>')
    .option('--target <n>', 'so many machines stand warm', wholeNumber)
    .option('--ceiling <n>', 'so many exist at most', wholeNumber)
    .option('--reset', 'back to what is declared')
    .action(
      action({}, async (cli, [name], { target, ceiling, reset }) => {
        if ((reset === true) === (target !== undefined || ceiling !== undefined)) {
          throw new DomainError('InvalidRequest', 'Say what to set: --target, --ceiling or both; or else --reset.', {
            hint: 'slipway pool set POOL --target 3',
          });
        }
        const body = reset
          ? ({ reset: true } as const)
          : {
              ...(target === undefined ? {} : { target: target as number }),
              ...(ceiling === undefined ? {} : { ceiling: ceiling as number }),
            };
        show(cli, await (await cli.client()).pools.set(name as string, body));
      }),
    );
  pool
    .command('drain')
    .summary('Let go of all machines that nobody leases, and make no others')
    .description(
      'Let go of all machines that nobody leases, and make no others. Leases keep theirs; who asks makes its own. Ends with `slipway pool set`.',
    )
    .argument('<pool>')
    .option('--reason <text>', 'shown with the pool')
    .option('--yes', 'do not ask (it never does)')
    .action(
      action({}, async (cli, [name], { reason }) => {
        const drained = await (await cli.client()).pools.drain(name as string, reason as string | undefined);
        show(cli, drained);
        cli.say(`  slipway pool set ${drained.name} --reset        fills it again`);
      }),
    );
}

const show = (cli: Cli, pool: PoolStatus): void => cli.show(pool, () => poolStory(pool, Date.now()));

/** A pool goes on with the last good version of its bundle: whoever edits that and sees no change is told why. */
async function noteBundles(
  cli: Cli,
  client: SlipwayClient,
  pools: readonly { readonly bundle: string }[],
): Promise<void> {
  if (pools.length === 0) return;
  const kept = new Set(pools.map(({ bundle }) => bundle));
  for (const bundle of await client.bundles.list()) if (kept.has(bundle.name)) sayMistakes(cli, bundle);
}
