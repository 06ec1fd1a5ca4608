import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { allowedOf } from './allowed.ts';
import { startSagaBench, type SagaBench } from './bench.ts';
import { activityNames, allCells, lifeNames, titleOf } from './cells.ts';
import { lives } from './lives.ts';
import { createRecord } from './record.ts';
import { begin, disturb, end } from './run.ts';
import { ways } from './ways.ts';

// Many lives side by side, on a machine that may have two cores and other work.
vi.setConfig({ testTimeout: 90_000, maxConcurrency: 12 });

const record = createRecord('fakes');
let bench: SagaBench;
beforeAll(async () => {
  bench = await startSagaBench();
});
afterAll(async () => {
  await bench.stop();
  await record.write();
});

const cells = allCells.filter(({ what }) => what !== 'killed');

test.concurrent.each(cells.map((cell) => [titleOf(cell), cell] as const))('%s', async (_title, cell) => {
  const run = await begin(bench, cell);
  await disturb(run);
  const { outcome, fired } = await end(run);
  record.add({ ...cell, outcome, fired });
  expect(allowedOf(cell)).toContain(outcome);
  expect(fired).toBeGreaterThan(0);
});

const typeOf = (workflowId: string): string => workflowId.slice(0, workflowId.indexOf('/'));

test('every activity has cells, at each kind of workflow that calls it', () => {
  const known = new Set(
    lifeNames.flatMap((life) => Object.keys(ways[life]).map((name) => `${typeOf(lives[life].target('x'))} ${name}`)),
  );
  const called = [...bench.faults.calls].flatMap(([id, names]) => [...names].map((name) => `${typeOf(id)} ${name}`));
  expect([...new Set(called)].filter((call) => !known.has(call))).toEqual([]);
  const withCells = new Set(allCells.map(({ activity }) => activity));
  expect(activityNames.filter((name) => !withCells.has(name))).toEqual([]);
});
