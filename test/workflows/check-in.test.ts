import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Plan } from '../../src/domain/bundle.ts';
import { machineWorkflowId } from '../../src/domain/ids.ts';
import type { MachinePhase } from '../../src/domain/lease.ts';
import { lastStageOf, postToMachine } from '../../src/rendezvous/posts.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, update, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const lease = (plan: Partial<Plan>, attempts = 1, prepare: (world: FakeWorld) => void = () => undefined) =>
  bench.lease({ attempts }, (world) => {
    world.plan = fakePlan(plan);
    prepare(world);
  });
const machineOf = ({ leaseId }: Leased, attempt = 1) => bench.machineStatus(leaseId, attempt);
const inPhase = (leased: Leased, phase: MachinePhase, attempt = 1): Promise<void> =>
  until(phase, async () => (await machineOf(leased, attempt).catch(() => undefined))?.phase === phase);

/** As the rendezvous sends it. */
async function posts(leased: Leased, body: object, change: object = {}, attempt = 1): Promise<void> {
  const { key, generation } = await machineOf(leased, attempt);
  const guest = { key, generation, source: '10.0.2.15', ...change };
  const handle = bench.client.workflow.getHandle(machineWorkflowId(`${leased.leaseId}.${attempt}`));
  if ('result' in body) await handle.signal('markReady', { ...body, guest });
  else await handle.signal('checkedIn', { ...guest, ...body });
}

async function ends(leased: Leased): Promise<void> {
  expect(await waitReady(leased)).toMatchObject({ state: 'ready' });
  await update(leased, 'release');
  await bench.over(leased);
}

describe.concurrent('a lease whose machine calls home', () => {
  test('is ready when its guest has posted that it succeeded, and shows what it told', async () => {
    const leased = await lease({ gate: 'checkin' });
    await inPhase(leased, 'readying');
    await posts(leased, { facts: { role: 'web' }, hostKeys: ['ssh-ed25519 AAAA'] });
    await until('it is heard', async () => (await machineOf(leased)).checkIn !== undefined);
    expect(await machineOf(leased)).toMatchObject({ phase: 'readying', checkIn: { facts: { role: 'web' }, posts: 1 } });
    await posts(leased, { result: 0 });
    expect(await waitReady(leased)).toMatchObject({ state: 'ready' });
    expect((await machineOf(leased)).checkIn).toMatchObject({ result: 0, source: '10.0.2.15', posts: 2 });
    await ends(leased);
  });

  test('is ready by a result that came before anybody asked', async () => {
    const leased = await lease({ gate: 'checkin' }, 1, (world) => world.hold('awaitAccessible'));
    await leased.world.isHeld('awaitAccessible');
    await posts(leased, { result: 0 });
    leased.world.letGo('awaitAccessible');
    await ends(leased);
  });

  test('takes a new machine when the last stage of its first one failed, and says why in the guest’s words', async () => {
    const leased = await lease({ gate: 'checkin' }, 2);
    await inPhase(leased, 'readying');
    await posts(leased, { result: 7, message: 'script 1 (register) exited 7: no licence' });
    await inPhase(leased, 'readying', 2);
    await posts(leased, { result: 0 }, {}, 2);
    expect(await waitReady(leased)).toMatchObject({
      attempts: [
        {
          phase: 'gone',
          reason: {
            type: 'CustomizeFailed',
            message: "The guest's own last stage failed: script 1 (register) exited 7: no licence (result 7)",
          },
        },
        { phase: 'ready' },
      ],
    });
    await ends(leased);
  });

  test('fails at once where the guest says so before its steps are done', async () => {
    const step = { title: 'one', limitMs: 60_000, allowFailure: false };
    const leased = await lease({ gate: 'checkin', steps: [step] }, 1, (world) => world.hold('runStep'));
    await leased.world.isHeld('runStep');
    await posts(leased, { result: 3 });
    const { result } = await failed(leased);
    expect(result.reason).toMatchObject({ type: 'CustomizeFailed', message: expect.stringContaining('(result 3)') });
  });

  test('changes nothing by a post of another life, another generation, without a sense, or after the first', async () => {
    const leased = await lease({ gate: 'checkin' });
    await inPhase(leased, 'readying');
    await posts(leased, { result: 1 }, { key: 'another' });
    await posts(leased, { result: 1 }, { generation: 2 });
    await posts(leased, { result: 'one' });
    await posts(leased, { facts: 5 });
    await posts(leased, { result: 0 });
    expect(await waitReady(leased)).toMatchObject({ state: 'ready' });
    await posts(leased, { result: 1, message: 'after all' });
    expect(await machineOf(leased)).toMatchObject({ phase: 'ready', checkIn: { result: 0 } });
    await ends(leased);
  });

  test('is not ready by a person’s word alone, nor by the guest’s where a person is awaited', async () => {
    const leased = await lease({ gate: 'all', gateParts: ['manual', 'checkin'] });
    await inPhase(leased, 'readying');
    await posts(leased, { result: 0 });
    await until('it is heard', async () => (await machineOf(leased)).checkIn?.result === 0);
    expect((await machineOf(leased)).phase).toBe('readying');
    await leased.handle.signal('markReady', {});
    await ends(leased);
  });

  test('is ready by whichever comes first where any is enough, also when the guest’s own way failed', async () => {
    for (const result of [0, 1]) {
      const leased = await lease({ gate: 'any', gateParts: ['command', 'checkin'] }, 1, (world) =>
        world.hold('awaitGate'),
      );
      await leased.world.isHeld('awaitGate');
      await posts(leased, { result });
      if (result !== 0) leased.world.letGo('awaitGate');
      await ends(leased);
    }
  });

  test('fails where no way is left, with what failed last', async () => {
    const leased = await lease({ gate: 'any', gateParts: ['command', 'checkin'] }, 1, (world) => {
      world.faults = [{ activity: 'awaitGate', side: 'before', type: 'GuestNeverReady' }];
    });
    await inPhase(leased, 'readying');
    await posts(leased, { result: 1, message: 'no licence' });
    const { result } = await failed(leased);
    expect(result.reason?.message).toContain('no licence');
  });

  test('is told nothing that it would refuse, so that no guest can fill its history', async () => {
    const leased = await lease({ gate: 'checkin' });
    await inPhase(leased, 'readying');
    const machineId = `${leased.leaseId}.1`;
    const { key, generation } = await machineOf(leased);
    const who = { machineId, birth: leased.handle.firstExecutionRunId, generation };
    const blobs = { get: () => Promise.reject(new Error('nobody fetches anything')) };
    const deps = { client: bench.client, blobs, sameSource: async () => false };
    const tells = (hostKey: string) =>
      postToMachine(deps, who, { key, generation, source: '10.0.2.15', facts: {}, hostKeys: [hostKey] });
    const signalled = async () =>
      ((await bench.client.workflow.getHandle(machineWorkflowId(machineId)).fetchHistory()).events ?? []).filter(
        (event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'checkedIn',
      ).length;

    for (let n = 0; n < 3; n += 1) expect(await tells(`ssh-ed25519 ${'A'.repeat(20_000)}`)).toBe('unreadable');
    expect(await signalled()).toBe(0);
    expect(await tells('ssh-ed25519 AAAA')).toBe('taken');
    expect(await signalled()).toBe(1);
    await posts(leased, { result: 0 });
    await ends(leased);
  });

  test('hears its guest from another address too, and only where that is allowed', async () => {
    const leased = await lease({ gate: 'checkin' });
    await inPhase(leased, 'readying');
    const machineId = `${leased.leaseId}.1`;
    const { key, generation } = await machineOf(leased);
    const who = { machineId, birth: leased.handle.firstExecutionRunId, generation };
    let sameSource = false;
    const blobs = { get: async () => Buffer.from(JSON.stringify({ userData: { scripts: [{ command: ['setup'] }] } })) };
    const deps = { client: bench.client, blobs, sameSource: async () => sameSource };
    const calls = async (source: string) => [
      await postToMachine(deps, who, { key, generation, source, facts: { from: source }, hostKeys: [] }),
      await lastStageOf(deps, who, source),
    ];
    const fetched = { text: expect.stringContaining('setup') };
    expect(await calls('10.0.2.15')).toEqual(['taken', fetched]);
    expect(await calls('10.0.2.16')).toEqual(['taken', fetched]);
    await until('it is recorded', async () => (await machineOf(leased)).checkIn?.posts === 2);
    expect((await machineOf(leased)).checkIn).toMatchObject({ source: '10.0.2.15', movedTo: '10.0.2.16' });
    sameSource = true;
    expect(await calls('10.0.2.17')).toEqual(['moved', { refused: 'moved' }]);
    expect(await calls('10.0.2.15')).toEqual(['taken', fetched]);
    await posts(leased, { result: 0 });
    await ends(leased);
  });

  test('is given up with the whole way to ready where the guest says nothing', async () => {
    const limits = { ...fakePlan().limits, readyWithinMs: 5_000 };
    const { result } = await failed(await lease({ gate: 'checkin', limits }));
    expect(result.reason).toMatchObject({
      type: 'GuestNeverReady',
      message: expect.stringMatching(/within \d s of readying/),
    });
  });
});
