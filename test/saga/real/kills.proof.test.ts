import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ActivityName } from '../../support/fake-world.ts';
import { dist, startTestStack, alive, type TestStack } from '../../support/stack.ts';
import { turnKnobs } from '../../support/local-knobs.ts';
import { until } from '../../support/until.ts';
import { sides, type Side } from '../cells.ts';
import { makeGatedBuild, type GatedBuild } from './gated-build.ts';
import { scenes, type Scene } from './scenes.ts';

// A watch that died with its worker is missed after a minute.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 600_000 });

interface RealCell {
  readonly activity: ActivityName;
  readonly side: Side;
  readonly scene: Scene;
  readonly id: string;
}
const cells: readonly RealCell[] = (Object.keys(scenes) as ActivityName[]).flatMap((activity) =>
  sides.map((side) => ({ activity, side, scene: scenes[activity], id: `${activity}-${side}`.toLowerCase() })),
);

/** Which kind of provider all of it is done on. */
const type = process.env['SLIPWAY_SAGA_PROVIDER'] ?? 'local';
/** No phase is over because its call was held for long. */
const patient = 'readyWithinMs: 30m\n';
const of = (name: string): string => `${patient}variants:\n  - provider: ${name}\n`;
const bare = of('local');
const steps =
  "commands:\n  - run: [sh, -c, 'echo step >> $HOME/steps']\n    title: count me\nready:\n  command: ['true']\n";
const pooled = cells.filter(({ scene }) => scene.pool);
const few = cells.filter(({ activity }) => activity === 'awaitQuota');
const scheduled = cells.filter(({ activity }) => activity === 'planSchedule');
const bundles = {
  bare,
  whole: bare + steps,
  broken: `${bare}commands: [{shell: 'echo oops >&2; exit 3'}]\n`,
  slow: of('slow'),
  many: of('many'),
  ...Object.fromEntries(few.map(({ id }) => [id, of(id)])),
  ...Object.fromEntries(pooled.map(({ id, scene }) => [id, `${bare}reclaim: ${scene.pool}\n`])),
  ...Object.fromEntries(scheduled.map(({ id }) => [id, bare])),
};
const provider = (name: string, machines?: number): string =>
  `  ${name}: {type: ${type}${machines === undefined ? '' : `, quota: {machines: ${machines}}`}}\n`;
const providers = `providers:\n${provider('local')}${provider('slow')}${provider('many', 5)}${few.map(({ id }) => provider(id, 1)).join('')}`;
const secrets = 'secrets: {hook: {command: [echo, whsec_c2FnYQ==]}}\n';
const pools = pooled.map(({ id }) => `  ${id}: {bundle: ${id}, target: 1, ceiling: 1}\n`).join('');
const schedules = scheduled
  .map(
    ({ id, side, scene }) =>
      `  ${id}: {bundle: ${id}, target: 0, ceiling: 1, schedule: [{cron: '${scene.text(id, side)}', forMs: 60000, target: 0}]}\n`,
  )
  .join('');

let build: GatedBuild;
let stack: TestStack;
let killed = 0;
let held: ReadonlyMap<string, number> = new Map();
const ends = new Map<string, true | Error>();
const gateOf = ({ activity, side }: RealCell): string => `${activity}.${side}`;

const settings = (declared: string): Promise<void> =>
  writeFile(join(stack.root, 'slipway.yaml'), `${secrets}${providers}pools:\n${declared || '  {}\n'}`);
const heldAll = (wanted: readonly RealCell[]): Promise<void> =>
  until(
    'every call is held',
    async () => {
      held = await build.held();
      return wanted.every((cell) => held.has(gateOf(cell)));
    },
    150_000,
    200,
  ).catch((error: unknown) => {
    const missing = wanted.filter((cell) => !held.has(gateOf(cell))).map(gateOf);
    throw new Error(`Not held: ${missing.join(', ')}`, { cause: error });
  });

// Every call is held at its side of its effect, then the one worker dies under all of them.
beforeAll(async () => {
  build = await makeGatedBuild();
  const early = cells.filter(({ scene }) => !scene.last);
  const last = cells.filter(({ scene }) => scene.last);
  for (const { activity, side, scene, id } of early) await build.arm(activity, side, scene.text(id, side));
  stack = await startTestStack({
    bundles,
    settings: `${secrets}${providers}pools:\n${pools}`,
    entries: { worker: build.worker, api: join(dist, 'api/main.js') },
    tuning: { leaseEveryMs: 3_000 },
  });
  turnKnobs(join(stack.state, 'local', 'named', 'slow', 'local'), { bootMs: 1_500 });
  await Promise.all(early.map(async ({ scene, id, side }) => scene.reach?.(stack, id, side)));
  await heldAll(early);
  for (const { activity, side, scene, id } of last) await build.arm(activity, side, scene.text(id, side));
  await settings(pools + schedules);
  await Promise.all(last.map(async ({ scene, id, side }) => scene.reach?.(stack, id, side)));
  await heldAll(cells);
  killed = await stack.killHard('worker');
  await until('another worker runs', async () => {
    const now = await stack.pidOf('worker');
    return now !== undefined && now !== killed && alive(now);
  });
  await Promise.all(
    cells.map(({ scene, id, side }) =>
      scene.finish(stack, id, side).then(
        () => ends.set(id, true),
        (error: unknown) => ends.set(id, error as Error),
      ),
    ),
  );
});
afterAll(async () => {
  await stack.stop();
  await build.remove();
});

test.each(cells.map((cell) => [gateOf(cell), cell] as const))(
  '%s its effect: the worker is killed there, and all goes on',
  (name, { id }) => {
    expect(held.get(name)).toBe(killed);
    const end = ends.get(id);
    if (end instanceof Error) throw end;
    expect(end).toBe(true);
  },
);

test('no machine is left when the pools are no more, and a sweep has taken back what was terminated', async () => {
  await settings('');
  await stack.post('/v1/sweep', { reclaim: true });
  await until('no machine is left', async () => (await stack.machinesLeft()).length === 0, 100_000, 500);
});

/** Of a run in which all of this has held; it tells of no time, so that two runs write the same. */
const report = [
  `# The worker killed with -9, on \`${type}\``,
  `Written by \`npm run saga -- --provider ${type}\` when all has held; do not edit.`,
  `**${cells.length} cells**: a call of each activity is held before its effect, and another one after its effect and before its completion is recorded, all at the same time on one real stack. Then the one worker under them is killed with -9.`,
  'After that each lease has one machine, and a job of it ran once, with every byte on both streams once and with its true exit; a task that was cancelled ran once and is cancelled; a file is there whole; a key is out again; a dispatcher was told, under one id at every try; a pool has its machine again, and the next lease is served; what was terminated is failed or lost, and taken back by a sweep; and no machine is left.',
  [
    '| activity | before its effect | after its effect |',
    '| --- | --- | --- |',
    ...Object.keys(scenes).map((activity) => `| \`${activity}\` | killed ×1, held | killed ×1, held |`),
  ].join('\n'),
  '',
].join('\n\n');

test('docs tell of this run', async () => {
  const place = new URL(`../../../docs/saga-${type}.md`, import.meta.url);
  const isWhole = cells.every((cell) => held.get(gateOf(cell)) === killed && ends.get(cell.id) === true);
  if (process.env['SLIPWAY_SAGA_PROVIDER'] !== undefined && isWhole) await writeFile(place, report);
  expect(await readFile(place, 'utf8')).toBe(report);
});
