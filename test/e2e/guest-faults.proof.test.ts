import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { beaconFunction, startBeacon, type Beacon } from '../support/beacon.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';

vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;
let beacon: Beacon;
let tier = '';
beforeAll(async () => {
  beacon = await startBeacon({ open: true });
  stack = await startTestStack({ bundles: { small: 'variants:\n  - provider: local\n    diskMb: 32\n' } });
  const checks = await stack.json<readonly { name: string; summary: string }[]>('/v1/providers');
  tier = /tier (\w+)/.exec(checks.find(({ name }) => name === 'local')?.summary ?? '')?.[1] ?? '';
});
afterAll(async () => {
  await stack.stop();
  await beacon.close();
});

/** A job that is counted outside of its machine. */
const job = (id: string, script: string) => ({
  command: ['bash', '-c', `${beaconFunction(beacon.port)} beacon ${id}; ${script}`],
});
async function run(leaseId: string, taskId: string, script: string) {
  await stack.runTask(leaseId, taskId, job(`${leaseId}/${taskId}`, script));
  const ended = await stack.follow(leaseId, taskId);
  expect(beacon.arrivals(`${leaseId}/${taskId}`)).toBe(1);
  return { ...ended, text: ended.out.toString() };
}
async function leased(): Promise<string> {
  const leaseId = freshId('guest');
  await stack.create({ leaseId, bundle: 'small' });
  await stack.wait(leaseId, 'ready');
  return leaseId;
}
async function released(leaseId: string): Promise<void> {
  await stack.post(`/v1/leases/${leaseId}/release`);
  await stack.wait(leaseId, 'gone');
  expect(await stack.machinesLeft()).toEqual([]);
}

// A machine of tier plain has neither a boot nor a disk of its own.
const hasOwn = (): boolean => tier !== 'plain';

describe('a machine that reboots in the middle of a task', () => {
  it('by force: the task is lost by a reboot, not run again, and the next one runs', async (test) => {
    test.skip(!hasOwn());
    const leaseId = await leased();
    const { text, result } = await run(leaseId, 'one', 'echo half; sync; reboot -f; sleep 60; echo never');
    expect(text).toBe('half\n');
    expect(result).toMatchObject({
      state: 'lost',
      exitCode: null,
      lost: true,
      reason: 'the guest rebooted before it ended',
    });
    const next = await run(leaseId, 'two', 'echo again; exit 4');
    expect([next.text, next.result?.exitCode]).toEqual(['again\n', 4]);
    await released(leaseId);
  });

  it('in good order: the end that it gave the task is recorded, or the task is lost', async (test) => {
    test.skip(!hasOwn());
    const leaseId = await leased();
    const { text, result } = await run(leaseId, 'one', 'echo half; reboot; sleep 60; echo never');
    expect(text).toBe('half\n');
    expect([
      ['exited', 143],
      ['lost', null],
    ]).toContainEqual([result?.state, result?.exitCode]);
    await released(leaseId);
  });
});

describe('a machine whose disk is full', () => {
  const fill = 'head -c 100M /dev/zero >~/fill 2>/dev/null';

  it('records the true exit of a task that has nothing more to say', async (test) => {
    test.skip(!hasOwn());
    const leaseId = await leased();
    const { text, result } = await run(leaseId, 'one', `echo before; ${fill}; exit 5`);
    expect([text, result?.state, result?.exitCode]).toEqual(['before\n', 'exited', 5]);
    await released(leaseId);
  });

  it('keeps what was written while there was room, in order and without a hole', async (test) => {
    test.skip(!hasOwn());
    const leaseId = await leased();
    const { text, result } = await run(leaseId, 'one', `trap '' PIPE; ${fill}; seq 1 200000; echo $? >&2; exit 6`);
    const whole = Array.from({ length: 200_000 }, (_, n) => `${n + 1}\n`).join('');
    expect(whole.startsWith(text)).toBe(true);
    expect(text.length).toBeLessThan(whole.length);
    expect(result).toMatchObject({ state: 'exited', exitCode: 6, stdout: { keptBytes: text.length, cut: true } });
    await released(leaseId);
  });

  it('starts no task that it has no room for, and says so', async (test) => {
    test.skip(!hasOwn());
    const leaseId = await leased();
    await run(leaseId, 'one', fill);
    await stack.runTask(leaseId, 'two', job(`${leaseId}/two`, 'echo never'));
    const { out, result } = await stack.follow(leaseId, 'two');
    expect(out.toString()).toBe('');
    expect(result).toMatchObject({ state: 'lost', reason: expect.stringMatching(/space|disk/) });
    expect(beacon.arrivals(`${leaseId}/two`)).toBe(0);
    await released(leaseId);
  });
});
