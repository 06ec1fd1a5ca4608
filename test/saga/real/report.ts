import { readFileSync, writeFileSync } from 'node:fs';
import { scenesOn } from './scenes.ts';

/** Types of providers whose run is kept in docs/. */
export const kept = ['local'] as const;

const place = (type: string): URL => new URL(`../../../docs/saga-${type}.md`, import.meta.url);

/** Of a run in which all has held; it tells of no time, so that two runs write the same. */
export function reportOf(type: string): string {
  const { scenes, left } = scenesOn(type);
  const activities = Object.keys(scenes);
  const without = Object.entries(left).map(([activity, why]) => `Not among them: \`${activity}\`, since ${why}.`);
  return [
    `# The worker killed with -9, on \`${type}\``,
    `Written by \`npm run saga -- --provider ${type}\` when all has held; do not edit.`,
    `**${activities.length * 2} cells**: a call of each activity is held before its effect, and another one after its effect and before its completion is recorded, all at the same time on one real stack. Then the one worker under them is killed with -9.`,
    ...without,
    'After that each lease has one machine, and a job of it ran once, with every byte on both streams once and with its true exit; a task that was cancelled ran once and is cancelled; a file is there whole; a key is out again; a dispatcher was told, under one id at every try; a pool has its machine again, and the next lease is served; what was terminated is failed or lost, and taken back by a sweep; and no machine is left.',
    [
      '| activity | before its effect | after its effect |',
      '| --- | --- | --- |',
      ...activities.map((activity) => `| \`${activity}\` | killed ×1, held | killed ×1, held |`),
    ].join('\n'),
    '',
  ].join('\n\n');
}

export const keepReport = (type: string): void => writeFileSync(place(type), reportOf(type));
export const keptReport = (type: string): string => readFileSync(place(type), 'utf8');
