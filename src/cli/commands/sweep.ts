import type { Command } from 'commander';
import { failureTable } from '../../domain/failure.ts';
import type { LedgerLine } from '../../domain/ledger.ts';
import type { SweepReport } from '../../domain/sweep.ts';
import type { Action } from '../action.ts';
import { exit } from '../exit.ts';
import { harmless, nothing, oneLine, table } from '../output/table.ts';
import { roundMs } from '../output/units.ts';

export function addSweep(program: Command, action: Action): void {
  addLedger(program, action);
  program
    .command('sweep')
    .summary('Find machines that nobody owns any more')
    .description(
      'One look at every provider: what carries our tag and has no open machine. With --reclaim, what two looks find so is destroyed. ' +
        'A worker does the same by itself each minute: see slipway ledger.',
    )
    .option('--provider <name>', 'only this one')
    .option('--reclaim', 'destroy what is found, and see it gone')
    .option('--yes', 'do not ask (it never does)')
    .action(
      action({}, async (cli, _args, { provider, reclaim }) => {
        const client = await cli.client();
        const report = await client.sweep({
          ...(provider === undefined ? {} : { provider: provider as string }),
          ...(reclaim ? { reclaim: true } : {}),
        });
        cli.show(report, () => sweepText(report, Date.now()));
        for (const { provider: at, reason } of report.failures)
          cli.say(`${cli.paint('red', '✗')} ${at} gave no inventory: ${oneLine(reason.message)} (${reason.type})`);
        if (!reclaim && report.orphans.length > 0) cli.say('  slipway sweep --reclaim');
        return report.failures.length > 0 ? failureTable.ProviderUnavailable.exit : exit.ok;
      }),
    );
}

function addLedger(program: Command, action: Action): void {
  program
    .command('ledger')
    .summary('What each provider holds because of us, and who knows of it')
    .description(
      'What each provider holds because of us, as its last sweep saw it: owned by an open machine (the stuck ones are among them), orphaned, or given up.',
    )
    .action(
      action({}, async (cli) => {
        const lines = await (await cli.client()).ledger();
        const nowMs = Date.now();
        cli.show(lines, () => ledgerText(lines, nowMs));
        for (const { provider, look, lastGoodAt, paused } of lines) {
          if (look?.failure) {
            const since = lastGoodAt === undefined ? 'never did' : `last did ${ago(lastGoodAt, nowMs)}`;
            const why = `${oneLine(look.failure.message)} (${look.failure.type})`;
            cli.say(`${cli.paint('red', '✗')} ${provider} gave no inventory, ${since}: ${why}`);
          }
          if (paused) cli.say(`${cli.paint('yellow', '!')} ${provider} is not swept: its schedule is paused.`);
        }
        for (const { provider, out = 0 } of lines)
          if (out > 0) cli.say(`${cli.paint('yellow', '!')} ${out} out of use · slipway provider machines ${provider}`);
        if (lines.some(({ orphaned }) => orphaned > 0)) cli.say('  slipway sweep');
        if (lines.some(({ stuck }) => stuck > 0)) cli.say('  slipway machine list --stuck');
      }),
    );
}

const ago = (instant: string, nowMs: number): string => `${roundMs(nowMs - Date.parse(instant))} ago`;

const ledgerText = (lines: readonly LedgerLine[], nowMs: number): string =>
  table(
    ['PROVIDER', 'OWNED', 'ORPHANED', 'STUCK', 'FORGOTTEN', 'OLDEST', 'RECLAIMED', 'LOOKED'],
    lines.map((line) => [
      line.provider,
      String(line.owned),
      String(line.orphaned),
      String(line.stuck),
      String(line.forgotten),
      line.oldest ? `${line.oldest.machineId} (${roundMs(nowMs - Date.parse(line.oldest.createdAt))})` : nothing,
      String(line.reclaimed),
      line.look ? ago(line.look.at, nowMs) : 'not yet',
    ]),
  );

function sweepText({ orphans, forgotten, owned, providers }: SweepReport, nowMs: number): string {
  const rows = [
    ...orphans.map((one) => ({ ...one, what: one.reclaimed ? 'being reclaimed' : 'orphan' })),
    ...forgotten.map((one) => ({ ...one, what: `forgotten: ${harmless(one.reason)}` })),
  ];
  if (rows.length === 0) return `No orphans · ${owned} owned · looked at ${providers.join(', ') || 'no provider'}`;
  return table(
    ['MACHINE', 'PROVIDER', 'KIND', 'STATE', 'AGE', 'KEY', ''],
    rows.map(({ machineId, provider, kind, state, createdAt, key, what }) => [
      machineId,
      provider,
      kind,
      state,
      roundMs(nowMs - Date.parse(createdAt)),
      key,
      what,
    ]),
  );
}
