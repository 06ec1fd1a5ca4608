import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Resolved } from '../../src/config/bundle-resolve.ts';
import { readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import type { Plan, Recipe } from '../../src/domain/bundle.ts';
import { DomainError } from '../../src/domain/failure.ts';
import { poolWorkflowId } from '../../src/domain/ids.ts';
import type { PoolStatus } from '../../src/domain/pool-status.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { replaceFile } from '../../src/host/atomic-file.ts';
import { keepPools } from '../../src/worker/keep-pools.ts';
import { freshFolder } from '../output/store-kit.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { refusal } from '../workflows/kit.ts';

vi.setConfig({ testTimeout: 90_000 });

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const handle = (name: string) => bench.client.workflow.getHandle(poolWorkflowId(name));
const status = (name: string): Promise<PoolStatus | undefined> =>
  handle(name)
    .query<PoolStatus>('status')
    .catch(() => undefined);
const becomes = (name: string, what: string, is: (status: PoolStatus) => boolean): Promise<void> =>
  until(`pool ${name} ${what}`, async () => {
    const now = await status(name);
    return now !== undefined && is(now);
  });

/** What a bundle is resolved to; a test edits it. */
function createBundle() {
  const bundle = { version: 1, mistake: undefined as string | undefined, quotas: undefined as Plan['quotas'] };
  const resolve = async (): Promise<Resolved> => {
    if (bundle.mistake !== undefined) throw new DomainError('InvalidRequest', bundle.mistake);
    const plan = fakePlan({
      bundle: { name: 'hello', digest: String(bundle.version).repeat(64) },
      ...(bundle.quotas ? { quotas: bundle.quotas } : {}),
    });
    const recipe: Recipe = {
      name: 'hello',
      variants: [{ provider: 'fake', spec: { version: bundle.version } }],
      steps: [],
      gate: { kind: 'steps' },
      limits: plan.limits,
      ttlMs: 1,
      maxTtlMs: 1,
      attempts: 1,
      outputLimitBytes: 1,
      reclaim: 'destroy',
    };
    return { recipe, plan };
  };
  return { bundle, resolve };
}

async function start(text: string) {
  const state = stateFolder(join(await freshFolder(), '.slipway'));
  // As an editor does: a file that is empty for a moment declares no pools.
  const write = (content: string): Promise<void> => replaceFile(state.config, content);
  await write(text);
  const { bundle, resolve } = createBundle();
  const keep = () =>
    keepPools({
      client: bench.client,
      settings: () => readSettings(state),
      isWanted: () => Promise.resolve(true),
      resolve,
      tuning: defaultTuning,
      logger: pino({ level: 'silent' }),
      queue: bench.taskQueue,
      everyMs: 50,
      certainEveryMs: 300,
    });
  return { write, bundle, keep };
}

test('pools are started, changed and retracted as the settings say, and a broken file changes nothing', async () => {
  const { write, bundle, keep } = await start('pools: {kept: {bundle: hello, target: 1, ceiling: 2}}');
  const keeping = keep();
  await becomes('kept', 'has a warm machine', ({ machines }) => machines.some(({ phase }) => phase === 'warm'));
  await write('pools: {kept: {bundle: hello, target: 2, ceiling: 2}}');
  await becomes('kept', 'has its new target', ({ target }) => target === 2);
  await write('pools: {kept: {bundle: hello, target: 9, ceiling: 2}}');
  bundle.version = 2;
  await becomes('kept', 'makes machines of the new version', ({ machines, target }) => {
    const ids = machines.filter(({ phase }) => phase === 'warm').map(({ machineId }) => machineId);
    return target === 2 && ids.length === 2 && !ids.includes('kept+1');
  });
  bundle.mistake = 'bundle hello has 2 mistakes';
  await becomes('kept', 'says what is wrong with its bundle', ({ state, reason }) => {
    return state === 'failing' && reason?.message === 'bundle hello has 2 mistakes';
  });
  expect((await status('kept'))?.machines.length).toBeGreaterThanOrEqual(2);
  await write('pools: {}');
  expect(await handle('kept').result()).toMatchObject({ why: expect.stringContaining('slipway.yaml') });
  expect(bench.world(poolWorkflowId('kept')).owned()).toEqual([]);
  keeping.stop();
});

test('a pool that was terminated is started again, and one that was forgotten while no worker ran is retracted', async () => {
  const { write, keep } = await start('pools: {again: {bundle: hello, target: 0, ceiling: 1}}');
  const first = keep();
  await becomes('again', 'is there', ({ state }) => state === 'open');
  const before = await handle('again').describe();
  await handle('again').terminate('by hand');
  await until('another run', async () => {
    const now = await handle('again').describe();
    return now.status.name === 'RUNNING' && now.runId !== before.runId;
  });
  first.stop();
  await write('pools: {}');
  const second = keep();
  await handle('again').result();
  second.stop();
});

test('a target that the quota of its account could never hold is refused at its place, and changes nothing', async () => {
  const provider = (cores: number): string =>
    `providers: {fake: {type: local, account: lab, quota: {cores: ${cores}}}}\n`;
  const pools = (target: number): string => `pools:\n  big: {bundle: hello, target: ${target}, ceiling: 9}\n`;
  const { write, bundle, keep } = await start(provider(4) + pools(9));
  bundle.quotas = [{ account: 'lab', place: 'fake', cores: 2, memoryMb: 0 }];
  const keeping = keep();
  const reason = (target: number): PoolStatus['reason'] => ({
    type: 'InvalidRequest',
    message: `slipway.yaml:3:32 pools.big.target: ${target} machines are more than there may be: account lab allows 2 (quota.cores 4, 2 a machine). Try: a smaller target, or a larger quota.`,
  });
  await becomes('big', 'says why', ({ state }) => state === 'failing');
  expect(await status('big')).toMatchObject({ target: 0, machines: [], reason: reason(9) });
  await write(provider(4) + pools(2));
  await becomes('big', 'keeps what may be', ({ state, target }) => state === 'open' && target === 2);
  await write(provider(4) + pools(3));
  await becomes('big', 'says why again', ({ state }) => state === 'failing');
  expect(await status('big')).toMatchObject({ target: 2, reason: reason(3) });
  const set = (target: number) => handle('big').executeUpdate<PoolStatus, [unknown]>('set', { args: [{ target }] });
  expect(await refusal(set(3))).toEqual({
    type: 'InvalidRequest',
    message:
      'Pool big: a target of 3 is more than there may be: account lab allows 2 (quota.cores 4, 2 a machine). Try: a target of at most 2, or a larger quota in slipway.yaml.',
  });
  expect(await set(1)).toMatchObject({ target: 1 });
  await write(provider(8) + pools(3));
  await becomes('big', 'has its target', ({ state, target }) => state === 'open' && target === 3);
  await write(provider(8));
  await handle('big').result();
  keeping.stop();
});
