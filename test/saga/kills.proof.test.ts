import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { allowedOf } from './allowed.ts';
import { startSagaBench, type SagaBench } from './bench.ts';
import { allCells, titleOf, type Cell } from './cells.ts';
import { localActivities } from './kinds.ts';
import { createKillableWorkers } from './killable-worker.ts';
import { createRecord } from './record.ts';
import { approach, end, prepare, strike, type Outcome, type Run } from './run.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 600_000 });

const record = createRecord('kills');
const cells = allCells.filter(({ what }) => what === 'killed');
const outcomes = new Map<Cell, Outcome | Error>();
let bench: SagaBench;

/** So many go side by side to where they wait, and to their ends. */
const width = 10;

// Every cell is held at its side of its activity, then the one worker dies under all of them.
beforeAll(async () => {
  const workers = createKillableWorkers();
  bench = await startSagaBench(workers.start);
  const runs = cells.map((cell) => prepare(bench, cell));
  // A local activity waits in a workflow task, which waits for nobody: last.
  const late = runs.filter(isLocal);
  const early = runs.filter((run) => !isLocal(run));
  await each(early, approach);
  await Promise.all([...early.map(strike), ...late.map(approach)]);
  await Promise.all(late.map(strike));
  for (const { point } of runs) if (point.isHeld) point.fire();
  await workers.kill();
  for (const { point } of runs) point.letGo();
  await each(runs, (run) =>
    end(run).then(
      (outcome) => void outcomes.set(run.cell, outcome),
      (error: unknown) => void outcomes.set(run.cell, error as Error),
    ),
  );
});

async function each(runs: readonly Run[], work: (run: Run) => Promise<void>): Promise<void> {
  const waiting = [...runs];
  const some = async (): Promise<void> => {
    for (let run = waiting.shift(); run; run = waiting.shift()) await work(run);
  };
  await Promise.all(Array.from({ length: width }, some));
}
const isLocal = ({ cell }: Run): boolean => localActivities.has(cell.activity);
afterAll(async () => {
  await bench.stop();
  await record.write();
});

test.each(cells.map((cell) => [titleOf(cell), cell] as const))('%s', (_title, cell) => {
  const found = outcomes.get(cell);
  if (!found || found instanceof Error) throw found ?? new Error('It has not ended');
  const { outcome, fired } = found;
  record.add({ ...cell, outcome, fired });
  expect(allowedOf(cell)).toContain(outcome);
  expect(fired).toBe(1);
});
