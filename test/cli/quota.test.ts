import { afterAll, beforeAll, expect, it } from 'vitest';
import { quotaListing, quotaStatus } from '../../src/contract/quota-views.ts';
import { freshId } from '../api/api-bench.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startCliBench } from './cli-bench.ts';
import type { CliBench } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => {
  cli = await startCliBench();
  cli.api.world.plan = fakePlan({ quotas: [{ account: 'cloud', place: 'fake', cores: 2, memoryMb: 512 }] });
});
afterAll(() => cli.stop());

const create = (id: string, ...more: readonly string[]) =>
  cli.run(['lease', 'create', '--bundle', 'hello', '--id', id, ...more]);
const stdout = async (...args: readonly string[]): Promise<string> => (await cli.run(args)).stdout;

it('an account nobody has asked of is all free; another one is not found', async () => {
  expect(await stdout('quota', 'list')).toMatch(
    /^ACCOUNT +PROVIDERS +MACHINES +CORES +MEMORY MB +WAITING +COOLING +CALLS\ncloud +fake +0\/1 +0 +0 +0 +0 +–\n$/,
  );
  expect(await stdout('quota', 'show', 'cloud')).toBe('cloud · machines 0/1 · cores 0 · memory 0 MB\n');
  const missing = await cli.run(['quota', 'show', 'clouds']);
  expect(missing).toMatchObject({ code: 3, stderr: expect.stringContaining('slipway quota list') as string });
});

it('who has what of an account, who waits and why, is shown with it and with the lease, as it is by now', async () => {
  const [first, second, third] = [freshId(), freshId(), freshId()];
  await create(first);
  await create(second, '--no-wait', '--priority', '5');
  const waits = /waits +place 1 of 1 for quota · account cloud: 1 of 1 machines in use \(tester 1\)/;
  await expect.poll(() => stdout('lease', 'show', second)).toMatch(waits);
  const patience = await create(third, '--wait-timeout', '3s');
  expect(patience.code).toBe(7);
  expect(patience.stderr).toMatch(/queued +place 2 of 2 for quota · account cloud: 1 of 1 machines in use/);

  const shown = await stdout('quota', 'show', 'cloud');
  expect(shown).toContain('cloud · machines 1/1 · cores 2 · memory 512 MB');
  expect(shown).toContain('owner     tester · machines 1 · cores 2 · memory 512 MB · 2 waiting');
  expect(shown).toMatch(new RegExp(`holds +${first}\\.1 · tester · 2 cores · for`));
  expect(shown).toMatch(new RegExp(`waits +1\\. ${second}\\.1 · tester · priority 5 · for`));
  const status = quotaStatus.parse(JSON.parse(await stdout('quota', 'show', 'cloud', '--json')));
  expect(status).toMatchObject({ waiting: [{ place: 1 }, { place: 2 }], healed: 0 });
  const [line] = quotaListing.array().parse(JSON.parse(await stdout('quota', 'list', '--json')));
  expect(line).toMatchObject({ account: 'cloud', providers: ['fake'], waiting: 2 });

  // What it was told when it asked is not what it is shown later.
  await cli.run(['lease', 'cancel', second, '--wait']);
  expect(await stdout('lease', 'show', third)).toMatch(waits);
  await cli.run(['lease', 'release', first, '--wait']);
  expect((await cli.run(['lease', 'wait', third])).code).toBe(0);
  expect(await stdout('lease', 'show', third)).not.toContain('waits');
  await cli.run(['lease', 'release', third, '--wait']);
});
