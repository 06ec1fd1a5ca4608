import type { Command } from 'commander';
import type { ProviderView } from '../../contract/http.ts';
import { DomainError, failureTable } from '../../domain/failure.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit } from '../exit.ts';
import { timeline } from '../output/lease.ts';
import { powerLine } from '../output/machine.ts';
import { harmless, nothing, table } from '../output/table.ts';
import { clock, roundMs } from '../output/units.ts';
import { count } from '../parse.ts';
import { withStack } from '../with-stack.ts';
import { addBundle } from './bundle.ts';
import { noteSettings } from '../settings-note.ts';
import { addPower } from './machine-power.ts';
import { addUserData } from './machine-userdata.ts';
import { addStanding } from './standing.ts';

export function addOperator(program: Command, action: Action): void {
  addMachine(program, action);
  const provider = program.command('provider').summary('Sources of machines').description('Sources of machines.');
  provider
    .command('list')
    .summary('List the providers with what each can do')
    .action(
      action({}, async (cli) => {
        const { signal } = new AbortController();
        const providers = await withStack(cli, { signal }, (client) => client.checkProviders());
        cli.show(providers, () =>
          table(
            ['PROVIDER', 'STATE', 'ABILITIES', 'SUMMARY'],
            providers.map(({ name, ok, abilities, summary }) => [
              name,
              ok ? 'ready' : 'lacking',
              abilities.join(', ') || nothing,
              harmless(summary),
            ]),
          ),
        );
        if (providers.some(({ ok }) => !ok)) cli.say('  slipway provider check');
        await noteSettings(cli);
      }),
    );
  provider
    .command('check')
    .summary('Try what each provider can do here')
    .argument('[name]')
    .action(
      action({}, async (cli, [name]) => {
        // A newcomer asks this before anything runs: then a stack is started for the answer.
        const { signal } = new AbortController();
        const checks = await withStack(cli, { signal }, (client) => client.checkProviders(name as string | undefined));
        // What nobody has asked for may lack something, as long as there is another one.
        const isMissed = ({ ok, unsaid }: ProviderView): boolean => !ok && (unsaid !== true || name !== undefined);
        cli.show(checks, () =>
          checks
            .flatMap((check) => [
              `${isMissed(check) || check.ok ? mark(cli, check.ok) : nothing} ${check.name} · ${harmless(check.summary)}`,
              ...check.items.map((item) => `    ${mark(cli, item.ok)} ${item.name.padEnd(14)} ${harmless(item.text)}`),
            ])
            .join('\n'),
        );
        await noteSettings(cli);
        const good = !checks.some(isMissed) && checks.some(({ ok }) => ok);
        return good ? exit.ok : failureTable.ProviderUnavailable.exit;
      }),
    );
  addStanding(provider, action);
  addBundle(program, action);
}

const mark = (cli: Cli, ok: boolean): string => (ok ? cli.paint('green', '✔') : cli.paint('red', '✗'));

function addMachine(program: Command, action: Action): void {
  const machine = program
    .command('machine')
    .summary('Machines, from create to seen gone')
    .description('Machines, from create to seen gone.');
  machine
    .command('list')
    .summary('List machines')
    .option('-a, --all', 'also those that are gone')
    .option('--stuck', 'only those that cannot be destroyed now')
    .option('--limit <n>', 'at most so many, the newest', count, 100)
    .action(
      action({}, async (cli, _args, { all, stuck, limit }) => {
        const machines = await (
          await cli.client()
        ).machines.list({ state: stuck ? 'stuck' : all ? 'all' : 'open', limit: limit as number });
        cli.show(machines, () =>
          table(
            ['MACHINE', 'LEASE', 'PROVIDER', 'PHASE', 'FOR', 'ADDRESS'],
            machines.map(({ machineId, leaseId, provider, phase, since, address }) => [
              machineId,
              leaseId || nothing,
              provider,
              phase,
              roundMs(Date.now() - Date.parse(since)),
              address ?? nothing,
            ]),
          ),
        );
        if (machines.length === 0)
          cli.say(stuck ? 'No machine is stuck.' : 'No machines. · slipway machine list --all');
        else if (stuck) cli.say('  Each is tried again for ever. · slipway machine show MACHINE says why');
      }),
    );
  machine
    .command('show')
    .summary('Show a machine with its phases and debts')
    .argument('<machine>')
    .action(
      action({}, async (cli, [machineId]) => {
        const view = await (await cli.client()).machines.show(machineId as string);
        cli.show(view, () =>
          [
            `${view.machineId} · ${view.provider} · ${view.phase} since ${clock(view.since)} · ${view.leaseId === '' ? 'no lease' : `lease ${view.leaseId}`}`,
            ...(view.pool
              ? [
                  `  pool      ${view.pool.name} · ${view.pool.uses} uses${view.pool.retiring === undefined ? '' : ` · goes after its lease: ${harmless(view.pool.retiring)}`}`,
                ]
              : []),
            ...(view.pool ? [`  generation ${view.generation}`] : []),
            ...(view.decision
              ? [`  last use  ${view.decision.do} at ${clock(view.decision.at)}: ${harmless(view.decision.why)}`]
              : []),
            ...(view.taint === undefined ? [] : [`  tainted   ${harmless(view.taint)}`]),
            ...(view.reason ? [`  because   ${harmless(view.reason.message)} (${view.reason.type})`] : []),
            ...(view.forgotten === undefined ? [] : [`  forgotten ${harmless(view.forgotten)}`]),
            ...(view.takenOut === undefined ? [] : [`  taken out ${harmless(view.takenOut)}`]),
            ...(view.seen === undefined && !view.power ? [] : [`  power     ${powerLine(view)}`]),
            `  phases    ${timeline(view.phases)}`,
            ...(view.step
              ? [`  step      ${view.step.index + 1} of ${view.step.of}: ${harmless(view.step.title)}`]
              : []),
            ...(view.access
              ? [
                  `  address   ${view.access.user}@${view.access.address}:${view.access.port} · key ${view.access.fingerprint || 'not known yet'}${view.access.pin === undefined ? '' : ` (${view.access.pin})`}`,
                ]
              : []),
            ...(view.unrotated === undefined ? [] : [`  host key  as it was given: ${harmless(view.unrotated)}`]),
            ...view.debts.map(({ kind, key, since }) => `  owes      ${kind} ${key} since ${clock(since)}`),
            ...Object.entries(view.facts).map(([name, fact]) => `  ${name.padEnd(9)} ${harmless(fact)}`),
          ].join('\n'),
        );
      }),
    );
  addPower(machine, action);
  addUserData(machine, action);
  addForget(machine, action);
}

function addForget(machine: Command, action: Action): void {
  machine
    .command('forget')
    .summary('Give up a stuck machine that its provider may have for ever')
    .description(
      'Gives up a machine that cannot be destroyed: it is tried no more. Its record stays, and while its provider has it, slipway ledger shows it as forgotten.',
    )
    .argument('<machine>')
    .requiredOption('--reason <text>', 'why nobody needs to see to it any more; it stays in the record')
    .option('--yes', 'do it')
    .action(
      action({}, async (cli, [machineId], { reason, yes }) => {
        const { machines } = await cli.client();
        if (yes !== true) {
          const { phase, debts } = await machines.show(machineId as string);
          const owed = debts.map(({ kind, key }) => `${kind} ${key}`).join(', ') || 'nothing';
          throw new DomainError(
            'InvalidRequest',
            `Nothing was done. ${String(machineId)} is ${phase} and owes ${owed}.`,
            {
              hint: 'the same with --yes, when nobody needs to see to it any more.',
            },
          );
        }
        const view = await machines.forget(machineId as string, reason as string);
        cli.show(view, () =>
          view.phase === 'gone'
            ? `${view.machineId} was seen gone in that moment.`
            : `${view.machineId} is ${view.phase}. It owed ${view.debts.map(({ kind, key }) => `${kind} ${key}`).join(', ')} on ${view.provider}.`,
        );
        cli.say('  slipway ledger');
      }),
    );
}
