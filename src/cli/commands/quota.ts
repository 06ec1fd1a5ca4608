import type { Command } from 'commander';
import type { Action } from '../action.ts';
import { quotaStory, quotaTable } from '../output/quota.ts';
import { noteSettings } from '../settings-note.ts';

export function addQuota(program: Command, action: Action): void {
  const quota = program
    .command('quota')
    .summary('What providers’ accounts allow, and who has it')
    .description(
      'What providers’ accounts allow, who has it and who waits. Declared under providers.<name> of slipway.yaml: quota, rate, account.',
    );
  quota
    .command('list')
    .summary('List the accounts')
    .action(
      action({}, async (cli) => {
        const quotas = await (await cli.client()).quotas.list();
        cli.show(quotas, () => quotaTable(quotas));
        if (quotas.length === 0) cli.say('No quotas. They are declared under providers.<name>.quota of slipway.yaml.');
        await noteSettings(cli);
      }),
    );
  quota
    .command('show')
    .summary('Show an account with who has what of it, and who waits and why')
    .argument('<account>')
    .action(
      action({}, async (cli, [account]) => {
        const status = await (await cli.client()).quotas.show(account as string);
        cli.show(status, () => quotaStory(status, Date.now()));
        await noteSettings(cli);
      }),
    );
}
