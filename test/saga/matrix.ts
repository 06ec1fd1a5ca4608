import { allowedOf } from './allowed.ts';
import {
  activityNames,
  allCells,
  lifeNames,
  sides,
  titleOf,
  whats,
  type Cell,
  type LifeName,
  type What,
} from './cells.ts';
import type { Recorded } from './record.ts';

const kinds = Object.keys(whats) as readonly What[];
export const matrixPlace = new URL('../../docs/saga.md', import.meta.url);

/**
 * `docs/saga.md`: what each cell must come to. It tells of no run, so that two runs write the same; that a run came to it
 * is seen to by `missingIn`.
 */
export function matrixOf(): string {
  const known = new Map(allCells.map((cell) => [titleOf(cell), cell]));
  return [
    '# The saga matrix',
    'Written by `npm run saga`, which runs every cell first; do not edit.',
    `**${allCells.length} cells**, with fake activities on a real Temporal server. Each row is an activity of a life, disturbed *before* or *after* its effect; each column is the fault that is injected there; each cell is how the workflow under attack ends, and others where they matter. A fault that has not happened fails its cell.`,
    [
      'After every cell, besides:',
      '',
      '- nothing is owned: no machine is left, no part of an account is held;',
      '- no machine was made twice, or beside another one of its lease;',
      '- no task ran on two machines; a command that ended has its exit code;',
      '- no workflow is open, and no workflow task failed.',
    ].join('\n'),
    [
      '*times out*: an activity with a limit of its own never answers, at no attempt; any other one is silent once, and is delivered again.',
      '*runs twice*: before its effect, the second delivery overtakes the first; after it, the effect comes twice.',
      '*swept*: the orphan of a terminated machine was taken back by a sweep. *another machine*: the lease or the pool has made one.',
      'A cell that a lease shares with its machine stands at the machine: it is empty here.',
    ].join('\n'),
    ...lifeNames.flatMap((life) => sectionOf(life, known)),
    '',
  ].join('\n\n');
}

function sectionOf(life: LifeName, known: ReadonlyMap<string, Cell>): readonly string[] {
  const cells = [...known.values()].filter((cell) => cell.life === life);
  const rows = activityNames
    .filter((activity) => cells.some((cell) => cell.activity === activity))
    .flatMap((activity) =>
      sides.map((side) => {
        const row = kinds.map((what) => {
          const cell = known.get(titleOf({ life, activity, side, what }));
          return cell ? allowedOf(cell).join(' *or* ') : '';
        });
        return `| ${[`\`${activity}\``, side, ...row].join(' | ')} |`;
      }),
    );
  const head = `| ${['activity', 'side', ...kinds.map((what) => whats[what])].join(' | ')} |`;
  const rule = `|${' --- |'.repeat(kinds.length + 2)}`;
  return [`## ${life}: ${cells.length} cells`, [head, rule, ...rows].join('\n')];
}

/** The cells that a run has not come to, or whose fault never happened. */
export function missingIn(records: readonly Recorded[]): readonly string[] {
  const found = new Map(records.map((record) => [titleOf(record), record]));
  return allCells
    .filter((cell) => {
      const record = found.get(titleOf(cell));
      return !record || record.fired === 0 || !allowedOf(cell).includes(record.outcome);
    })
    .map(titleOf);
}
