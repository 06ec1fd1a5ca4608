import type { FaultLine } from '../src/providers/faults/fault-log.ts';
import type { Audit } from './audit.ts';
import type { Quiet } from './quiet.ts';
import type { Schedule } from './schedule.ts';

export interface Report {
  readonly seed: number;
  readonly minutes: number;
  readonly tier: string;
  readonly leases: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly wire: Readonly<Record<string, number>>;
  readonly kills: Readonly<Record<string, number>>;
  readonly audit: Audit;
  readonly quiet: Quiet;
  /** What slipway's own ledger has left, and what reported twice that it begins. */
  readonly ledger: readonly string[];
  readonly duplicates: readonly string[];
  readonly problems: readonly string[];
}

export const isGood = ({ audit, quiet, ledger, duplicates, problems }: Report): boolean =>
  [audit.wrong, quiet.left, ledger, duplicates, problems].every(({ length }) => length === 0);

export function counted(words: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const word of words.toSorted()) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

/** A hidden machine is told of twice: before it is made, and with what it was made as. */
export const faultCounts = (lines: readonly FaultLine[]): Readonly<Record<string, number>> =>
  counted(lines.filter(({ verb, ref }) => !(verb === 'create' && ref)).map(({ fault }) => fault));

export const replayLine = ({ seed, minutes, atOnce }: Schedule): string =>
  `npm run chaos -- --seed ${seed} --minutes ${minutes} --leases-at-once ${atOnce}`;

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none';
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** For people, and as Markdown. */
export function rows(report: Report): readonly (readonly [string, string])[] {
  const { audit, quiet } = report;
  const left = (what: string): string => String(quiet.left.filter((text) => text.startsWith(what)).length);
  const ends = Object.fromEntries(Object.entries(audit.ends).filter(([name]) => !name.includes(' ')));
  const reasons = Object.fromEntries(Object.entries(audit.ends).filter(([name]) => name.includes(' ')));
  return [
    ['seed', String(report.seed)],
    ['minutes', String(report.minutes)],
    ['local, tier', report.tier],
    ['leases', `${sum(report.leases)}: ${list(report.leases)}`],
    ['ends', `${list(ends)} (${list(reasons)})`],
    ['served by a pool', `${audit.pooled.leases}, ${audit.pooled.again} of them by a machine used before`],
    ['tasks', `${audit.tasks}, with ${audit.bytes} bytes of output`],
    ['faults of the provider', `${sum(report.faults)}: ${list(report.faults)}`],
    ['faults of the wire', `${sum(report.wire)}: ${list(report.wire)}`],
    ['kill -9', `${sum(report.kills)}: ${list(report.kills)}`],
    ['ends said to be unknown', `${audit.unknownEnds.length}: ${list(counted(audit.unknownEnds))}`],
    ['duplicate runs', String(report.duplicates.length)],
    ['lost bytes', String(audit.lostBytes)],
    ['leaked machines', left('folder')],
    ['leaked processes, mounts', `${left('process')}, ${left('mount')}`],
    ['open workflows', left('workflow')],
    ['quota still held', left('quota')],
    ['wrong', String(audit.wrong.length + report.problems.length + report.ledger.length)],
    ['longest way to seen gone', seconds(audit.longestReclaimMs)],
    ['quiet after the last fault', seconds(quiet.afterMs)],
  ];
}

const mistakes = (report: Report): readonly string[] => [
  ...report.problems,
  ...report.audit.wrong,
  ...report.duplicates.map((word) => `${word} ran more than once`),
  ...report.quiet.left.map((what) => `left: ${what}`),
  ...report.ledger.map((what) => `ledger: ${what}`),
];

export function asText(report: Report): string {
  const all = rows(report);
  const width = Math.max(...all.map(([name]) => name.length));
  const lines = all.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  return [...lines, ...mistakes(report).map((text) => `WRONG: ${text}`)].join('\n');
}

const above = '<!-- What follows is written by `npm run chaos -- --report`. -->\n';

/** @param page whose last part is of an earlier run @param commit that ran */
export function asMarkdown(report: Report, plan: Schedule, page: string, commit: string): string {
  const table = rows(report).map(([name, value]) => `| ${name} | ${value} |`);
  const wrong = mistakes(report).map((text) => `- ${text}`);
  const [text = ''] = page.split(above);
  return `${text}${above}
\`\`\`
git checkout ${commit}
${replayLine(plan)}
\`\`\`

| | |
|---|---|
${table.join('\n')}
${wrong.length > 0 ? `\nWrong:\n\n${wrong.join('\n')}\n` : ''}`;
}
