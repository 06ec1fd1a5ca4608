import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LedgerLine } from '../../src/domain/ledger.ts';
import type { MachineStatus } from '../../src/domain/lease.ts';
import type { StandingMachine } from '../../src/domain/inventory.ts';
import { processStart } from '../../src/host/process-identity.ts';
import { sshdPath } from '../support/sshd.ts';
import { alive, freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { startMachines } from '../support/static-lab.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 150_000, hookTimeout: 150_000 });

const bundle = (labels: string, more = ''): string =>
  `variants:\n  - {provider: lab, labels: {${labels}}}\nreadyWithinMs: 2m\n${more}`;

describe.skipIf(sshdPath === undefined)('leases on standing machines', () => {
  let lab: Awaited<ReturnType<typeof startMachines>>;
  let stack: TestStack;
  beforeAll(async () => {
    lab = await startMachines(2);
    const door = join(lab.root, 'door');
    const waits = `reclaim: reset\nresetCommands:\n  - {title: wait for the door, run: [sh, -c, 'until [ -e ${door} ]; do sleep 0.1; done']}\n`;
    const fails =
      "reclaim: reset\nresetCommands:\n  - {title: wipe the scratch disk, run: [sh, -c, 'echo no disk >&2; exit 3']}\n";
    stack = await startTestStack({
      settings: `providers:\n  lab: {type: static, inventory: ${lab.file}}\n`,
      bundles: {
        one: bundle("number: '1'"),
        any: bundle('kind: box'),
        waits: bundle("number: '1'", waits),
        fails: bundle("number: '2'", fails),
      },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    await lab?.remove();
  });
  const run = async (bundleName: string, script: string) => {
    const leaseId = freshId('lab');
    await stack.create({ leaseId, bundle: bundleName, job: { command: ['sh', '-c', script] } });
    return { leaseId, ...(await stack.follow(leaseId)) };
  };
  const machineOf = (leaseId: string): Promise<MachineStatus> => stack.json(`/v1/machines/${leaseId}.1`);
  const standing = (): Promise<readonly StandingMachine[]> => stack.json('/v1/providers/lab/machines');
  const free = async (): Promise<boolean> => (await standing()).every(({ state }) => state === 'free');

  it('run their jobs, and leave nothing to the next one', async () => {
    const first = await run(
      'one',
      'echo mine >~/mine; setsid sleep 1000 >/dev/null 2>&1 & echo $!; ls -A ~ | grep mine',
    );
    expect(first.out.toString()).toMatch(/^\d+\nmine\n$/);
    const view = await stack.wait(first.leaseId, 'gone');
    expect(view.state).toBe('released');
    const machine = await machineOf(first.leaseId);
    expect(machine).toMatchObject({ phase: 'gone', facts: { machine: 'box1', kind: 'box' } });
    expect(machine.access?.hostKey).toBe(lab.machines[0]?.hostKey.publicKey);
    expect(machine.access?.fingerprint).toBe(lab.machines[0]?.hostKey.fingerprint);
    expect(machine).not.toHaveProperty('takenOut');
    // A zombie is dead.
    expect(processStart(Number(first.out.toString().split('\n')[0]))).toBeUndefined();

    const second = await run('one', 'ls ~');
    expect(second.out.toString()).toBe('');
    expect(second.result).toMatchObject({ state: 'exited', exitCode: 0 });
    await stack.wait(second.leaseId, 'gone');
    expect(await free()).toBe(true);
    expect(readdirSync(lab.machines[0]?.home as string).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  it('that race for the last machine have it one after the other', async () => {
    const held = freshId('held');
    await stack.create({ leaseId: held, bundle: 'any' });
    await stack.wait(held, 'ready');
    const two = [freshId('race'), freshId('race')];
    for (const leaseId of two)
      await stack.create({ leaseId, bundle: 'any', job: { command: ['sh', '-c', 'echo $$; sleep 1'] } });
    const ends = await Promise.all(two.map((leaseId) => stack.follow(leaseId)));
    for (const { result } of ends) expect(result).toMatchObject({ state: 'exited', exitCode: 0 });
    const views = await Promise.all(two.map((leaseId) => stack.wait(leaseId, 'gone')));
    const machines = await Promise.all(two.map(machineOf));
    expect(machines.map(({ facts }) => facts['machine'])).toEqual([
      machines[0]?.facts['machine'],
      machines[0]?.facts['machine'],
    ]);
    const times = views.map(({ times }) => [times.ready, times.ended].map((at) => Date.parse(at ?? '')));
    const [a = [], b = []] = times.toSorted((x, y) => (x[0] ?? 0) - (y[0] ?? 0));
    expect(b[0]).toBeGreaterThan((a[1] ?? Infinity) - 1_000);
    await stack.post(`/v1/leases/${held}/release`);
    await stack.wait(held, 'gone');
    await until('all are free', free);
  });

  it('end also when their machine cannot be made clean: it is taken out and shown, until somebody puts it back', async () => {
    const { leaseId } = await run('fails', 'true');
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    const machine = await machineOf(leaseId);
    expect(machine).toMatchObject({ phase: 'gone', debts: [] });
    expect(machine.takenOut).toContain('reset command 1 (wipe the scratch disk) exited 3 no disk');
    expect(await standing()).toContainEqual(
      expect.objectContaining({ name: 'box2', state: 'out', machineId: `${leaseId}.1` }),
    );
    const ledger = await stack.json<readonly LedgerLine[]>('/v1/ledger');
    expect(ledger.map(({ provider, out }) => [provider, out])).toEqual([
      ['local', undefined],
      ['qemu', undefined],
      ['lab', 1],
    ]);
    const [check] = await stack.json<readonly { ok: boolean; summary: string }[]>('/v1/providers?name=lab');
    expect(check).toMatchObject({ ok: false, summary: '2 machines: 1 free, 0 taken, 1 out of use' });
    expect(await stack.machinesLeft()).toEqual([]);
    expect(await stack.post('/v1/providers/lab/machines/box2/put-back')).toMatchObject({ name: 'box2', state: 'free' });
    expect(await free()).toBe(true);
    expect((await stack.call('/v1/providers/local/machines')).status).toBe(400);
    expect((await stack.call('/v1/providers/none/machines')).status).toBe(404);
  });

  it('survive a kill -9 of the worker in the middle of the job, and of the reset', async () => {
    const door = join(lab.root, 'door');
    const leaseId = freshId('kill');
    const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.3; done; touch ~/mine';
    await stack.create({ leaseId, bundle: 'waits', job: { command: ['sh', '-c', script] } });
    let killed = 0;
    const killWorker = async (): Promise<void> => {
      killed = await stack.killHard('worker');
      await until('another worker runs', async () => {
        const now = await stack.pidOf('worker');
        return now !== undefined && now !== killed && alive(now);
      });
    };
    let at: Promise<void> | undefined;
    const { out, result } = await stack.follow(leaseId, 'job', (total) => {
      if (total > 4) at ??= killWorker();
    });
    await at;
    expect(out.toString()).toBe('1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n');
    expect(result).toMatchObject({ state: 'exited', exitCode: 0 });
    await until('the machine is on its way back', async () =>
      (await standing()).some(({ name, state }) => name === 'box1' && state === 'returning'),
    );
    await killWorker();
    expect((await standing()).find(({ name }) => name === 'box1')).toMatchObject({ state: 'returning' });
    writeFileSync(door, '');
    await stack.wait(leaseId, 'gone');
    expect(await machineOf(leaseId)).not.toHaveProperty('takenOut');
    await until('all are free', free);
    expect(existsSync(join(lab.machines[0]?.home as string, 'mine'))).toBe(false);
  });

  it('that lost their workflow are orphans, and given back clean by a sweep', async () => {
    const leaseId = freshId('lost');
    await stack.create({ leaseId, bundle: 'one' });
    await stack.wait(leaseId, 'ready');
    await stack.client.workflow.getHandle(`lease/${leaseId}`).terminate();
    await stack.client.workflow.getHandle(`machine/${leaseId}.1`).terminate();
    await stack.post('/v1/sweep', { reclaim: true });
    await until('the machine is free', free, 60_000);
    const key = (await readFile(join(lab.machines[0]?.home as string, '.ssh/authorized_keys'), 'utf8')).trim();
    expect(key).toBe(lab.machines[0]?.clientKey.publicKey);
  });
});
