import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ActivityName } from '../../support/fake-world.ts';
import { dist, startTestStack, alive, type TestStack } from '../../support/stack.ts';
import { until } from '../../support/until.ts';
import { sides, type Side } from '../cells.ts';
import { makeGatedBuild, type GatedBuild } from './gated-build.ts';
import { groundOf, type Ground } from './ground.ts';
import { keepReport, kept, keptReport, reportOf } from './report.ts';
import { scenesOn, stages, type Scene, type Stage } from './scenes.ts';

// A watch that died with its worker is missed after a minute.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 600_000 });

interface RealCell {
  readonly activity: ActivityName;
  readonly side: Side;
  readonly scene: Scene;
  readonly id: string;
}
/** Which type of provider all of it is done on. */
const type = process.env['SLIPWAY_SAGA_PROVIDER'] ?? 'local';
const cells: readonly RealCell[] = Object.entries(scenesOn(type).scenes).flatMap(([name, scene]) =>
  sides.map((side) => ({ activity: name as ActivityName, side, scene, id: `${name}-${side}`.toLowerCase() })),
);
/** No phase is over because its call was held for long. */
const patient = 'readyWithinMs: 30m\n';
const on = (name: string): string => `${patient}variants:\n  - provider: ${name}\n`;
const bare = on('local');
const steps =
  "commands:\n  - run: [sh, -c, 'echo step >> $HOME/steps']\n    title: count me\nready:\n  command: ['true']\n";
const pooled = cells.filter(({ scene }) => scene.pool);
const few = cells.filter(({ activity }) => activity === 'awaitQuota');
const scheduled = cells.filter(({ activity }) => activity === 'planSchedule');
const bundles = {
  bare,
  whole: bare + steps,
  broken: `${bare}commands: [{shell: 'echo oops >&2; exit 3'}]\n`,
  slow: on('slow'),
  many: on('many'),
  ...Object.fromEntries(few.map(({ id }) => [id, on(id)])),
  ...Object.fromEntries(pooled.map(({ id, scene }) => [id, `${bare}reclaim: ${scene.pool}\n`])),
  ...Object.fromEntries(scheduled.map(({ id }) => [id, bare])),
};
/** Of each provider, where there is one. */
const quotas: Readonly<Record<string, number>> = { many: 5, ...Object.fromEntries(few.map(({ id }) => [id, 1])) };
const machines = { local: cells.length, slow: 4, ...quotas };
const providers = (): string =>
  Object.keys(machines).reduce((text, name) => {
    const quota = name in quotas ? `, quota: {machines: ${quotas[name]}}` : '';
    return `${text}  ${name}: {${ground.provider(name)}${quota}}\n`;
  }, 'providers:\n');
const secrets = 'secrets: {hook: {command: [echo, whsec_c2FnYQ==]}}\n';
const pools = pooled.map(({ id }) => `  ${id}: {bundle: ${id}, target: 1, ceiling: 1}\n`).join('');
const schedules = scheduled
  .map(
    ({ id, side, scene }) =>
      `  ${id}: {bundle: ${id}, target: 0, ceiling: 1, schedule: [{cron: '${scene.text(id, side)}', forMs: 60000, target: 0}]}\n`,
  )
  .join('');

let ground: Ground;
let build: GatedBuild;
let stack: TestStack;
let killed = 0;
let held: ReadonlyMap<string, number> = new Map();
const ends = new Map<string, true | Error>();
const gateOf = ({ activity, side }: RealCell): string => `${activity}.${side}`;

const settings = (declared: string): Promise<void> =>
  writeFile(join(stack.root, 'slipway.yaml'), `${secrets}${providers()}pools:\n${declared || '  {}\n'}`);
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
  ground = await groundOf(type, machines);
  build = await makeGatedBuild();
  const of = (stage: Stage) => cells.filter(({ scene }) => (scene.stage ?? 'early') === stage);
  const arm = (some: readonly RealCell[]) =>
    Promise.all(some.map(({ activity, side, scene, id }) => build.arm(activity, side, scene.text(id, side))));
  await arm(of('early'));
  stack = await startTestStack({
    bundles,
    settings: `${secrets}${providers()}pools:\n${pools}`,
    entries: { worker: build.worker, api: join(dist, 'api/main.js') },
    tuning: { leaseEveryMs: 3_000 },
  });
  ground.slow(stack.state, 'slow');
  for (const stage of stages) {
    if (stage !== 'early') await arm(of(stage));
    if (stage === 'last') await settings(pools + schedules);
    await Promise.all(of(stage).map(async ({ scene, id, side }) => scene.reach?.(stack, id, side)));
    await heldAll(of(stage));
  }
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
  await stack?.stop();
  await build?.remove();
  await ground?.remove();
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

test.each([...new Set([...kept, type])])('docs tell of such a run on %s', (of) => {
  const isWhole = cells.every((cell) => held.get(gateOf(cell)) === killed && ends.get(cell.id) === true);
  if (process.env['SLIPWAY_SAGA_PROVIDER'] === of && isWhole) keepReport(of);
  expect(keptReport(of)).toBe(reportOf(of));
});
