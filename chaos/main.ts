import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { canaries, type Canary } from './canary.ts';
import { asMarkdown, asText, isGood, replayLine } from './report.ts';
import { runChaos } from './run.ts';
import { schedule, type Schedule } from './schedule.ts';

const usage = `npm run chaos -- [--minutes N] [--seed S] [--leases-at-once K] [--replay FILE] [--canary ${canaries.join('|')}] [--report FILE]`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    'leases-at-once': { type: 'string', default: '6' },
    replay: { type: 'string' },
    canary: { type: 'string', multiple: true, default: [] },
    report: { type: 'string' },
  },
});

function number(name: 'minutes' | 'seed' | 'leases-at-once'): number {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value > 0) return value;
  throw new TypeError(`--${name} ${values[name]}: must be a number above 0. ${usage}`);
}

function chosenCanaries(): readonly Canary[] {
  return values.canary.map((word) => {
    const found = canaries.find((name) => name === word);
    if (found) return found;
    throw new TypeError(`--canary ${word}: must be one of ${canaries.join(', ')}. ${usage}`);
  });
}

const plan =
  values.replay === undefined
    ? schedule(number('seed'), number('minutes'), number('leases-at-once'))
    : (JSON.parse(await readFile(values.replay, 'utf8')) as Schedule);
process.stdout.write(`${replayLine(plan)}\n`);
const { report, folder } = await runChaos({
  schedule: plan,
  say: (text) => void process.stderr.write(`${text}\n`),
  canaries: chosenCanaries(),
});
process.stdout.write(`${asText(report)}\n`);
if (values.report !== undefined) {
  const page = await readFile(values.report, 'utf8').catch(() => '# A chaos run\n\n');
  const commit = execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], { encoding: 'utf8' }).trim();
  await writeFile(values.report, asMarkdown(report, plan, page, commit));
}
if (folder !== undefined)
  process.stdout.write(
    `All of it lies in ${folder}; again: npm run chaos -- --replay ${join(folder, 'schedule.json')}\n`,
  );
process.exit(isGood(report) ? 0 : 1);
