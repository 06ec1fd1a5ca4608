import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, update, waitReady } from './kit.ts';

let bench: LeaseBench;
let continued: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
  continued = await startLeaseBench({ ...defaultTuning, continueEvery: 5 });
});
afterAll(async () => {
  await bench.stop();
  await continued.stop();
});

const lease = (prepare: (world: FakeWorld) => void = () => undefined, request = {}, of = bench): Promise<Leased> =>
  of.lease({ attempts: 1, ...request }, (world) => {
    world.ownHostKeys = true;
    prepare(world);
  });
const own = { hostKey: 'ssh-ed25519 BBBB', fingerprint: 'SHA256:y', pin: 'rotated' };
async function ends(leased: Leased, of = bench): Promise<void> {
  await update(leased, 'release');
  await of.over(leased);
}

describe.concurrent('a machine whose guest makes a host key of its own', () => {
  test('is known by that before anybody has it: its lease, and whoever looks at it', async () => {
    const leased = await lease();
    expect((await waitReady(leased)).access).toMatchObject(own);
    const { access, unrotated } = await bench.machineStatus(leased.leaseId);
    expect(access).toMatchObject(own);
    expect(access).not.toHaveProperty('nextHostKey');
    expect(unrotated).toBeUndefined();
    expect(leased.world.count('awaitAccessible')).toBe(2);
    await ends(leased);
  });

  test('goes by both keys while it switches, over any number of tries and runs', async () => {
    const leased = await lease((world) => (world.twice = true), {}, continued);
    expect((await waitReady(leased)).access).toMatchObject(own);
    await ends(leased, continued);

    const late = await lease((world) => world.hold('awaitAccessible'));
    await late.world.isHeld('awaitAccessible');
    late.world.faults = [
      { activity: 'awaitAccessible', side: 'after', type: 'GuestUnreachable', retryable: true, times: 2 },
    ];
    late.world.letGo('awaitAccessible');
    expect((await waitReady(late)).access).toMatchObject(own);
    expect(late.world.count('awaitAccessible')).toBe(4);
    await ends(late);
  });

  test('that cannot goes on with the one that it was given, and says why', async () => {
    const leased = await lease((world) => (world.ownHostKeys = 'kept'));
    expect((await waitReady(leased)).access).toMatchObject({ hostKey: 'ssh-ed25519 AAAA' });
    expect(await bench.machineStatus(leased.leaseId)).toMatchObject({ unrotated: 'no root there' });
    expect(leased.world.count('awaitAccessible')).toBe(1);
    await ends(leased);
  });

  test('is given up when something else answers, not held for a look, and no other machine is taken', async () => {
    const leased = await lease(
      (world) => (world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'HostKeyMismatch' }]),
      { attempts: 3, holdOnFailureMs: 60_000 },
    );
    const { type, result } = await failed(leased);
    expect([type, result.attempts.length]).toEqual(['HostKeyMismatch', 1]);
    expect(result.attempts[0]?.phases.map(({ phase }) => phase)).not.toContain('held');
    await bench.over(leased);
  });
});

describe.concurrent('a machine whose guest makes its host key as it first boots', () => {
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHkL';
  const own = (hostKey: 'checkin' | 'console' | 'first-use', limitMs?: number) => (world: FakeWorld) => {
    world.ownHostKeys = false;
    const plan = fakePlan({ hostKey });
    world.plan = limitMs === undefined ? plan : { ...plan, limits: { ...plan.limits, accessWithinMs: limitMs } };
  };
  const posts = async (leased: Leased, hostKeys: readonly string[]): Promise<void> => {
    await until('it waits', async () => {
      const status = await bench.machineStatus(leased.leaseId).catch(() => undefined); // not started yet
      return status?.phase === 'waiting';
    });
    const { key: of, generation } = await bench.machineStatus(leased.leaseId);
    const body = { key: of, generation, source: '10.0.2.15', facts: {}, hostKeys };
    await bench.machine(leased.leaseId).signal('checkedIn', body);
  };

  test('is not logged in to before it has posted it, and is known by that then', async () => {
    const leased = await lease(own('checkin'));
    await posts(leased, ['ssh-dss AAAAB3', 'not a key']);
    await until('it is heard', async () => (await bench.machineStatus(leased.leaseId)).checkIn !== undefined);
    expect(await bench.machineStatus(leased.leaseId)).toMatchObject({ phase: 'waiting', access: { hostKey: '' } });
    expect(leased.world.count('awaitAccessible')).toBe(0);
    await posts(leased, ['ssh-rsa AAAAB3NzaC1yc2E', `${key} root@web`]);
    expect((await waitReady(leased)).access).toMatchObject({ hostKey: key, fingerprint: 'SHA256:z', pin: 'checkin' });
    expect(leased.world.count('awaitAccessible')).toBe(1);
    await ends(leased);
  });

  test('is given up in its time when it posts none, and says so', async () => {
    const leased = await lease(own('checkin', 300));
    const { type, result } = await failed(leased);
    expect([type, result.reason?.message]).toEqual([
      'GuestNeverReady',
      expect.stringContaining('was not known by a host key that its guest posts within'),
    ]);
    expect(leased.world.count('awaitAccessible')).toBe(0);
    await bench.over(leased);
  });

  test.each(['console', 'first-use'] as const)('shows that it is known by %s', async (source) => {
    const leased = await lease(own(source));
    expect((await waitReady(leased)).access).toMatchObject({ hostKey: 'ssh-ed25519 AAAACCCC', pin: source });
    await ends(leased);
  });
});
