import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Knobs } from '../../src/providers/local/knobs.ts';
import { awaitHeld, heldAt } from '../support/local-knobs.ts';
import { localBench, until, type LocalBench } from '../support/local-machines.ts';

describe('the local provider as a cloud', () => {
  let bench: LocalBench;
  const open = (knobs: Knobs): LocalBench => (bench = localBench(knobs));
  const create = (machineId: string, key = machineId) =>
    bench.provider.create(key, bench.spec('box'), bench.tags(machineId, key), bench.signal());
  const owned = async (): Promise<number> => (await bench.provider.list(bench.installation, bench.signal())).length;
  afterEach(async () => {
    bench.knobs({});
    await bench.close();
  });

  it('beyond capacity says CapacityUnavailable, beyond quota QuotaExceeded, and takes up again when there is room', async () => {
    open({ capacity: 1 });
    const first = await create('a.1');
    await expect(create('b.1')).rejects.toMatchObject({ type: 'CapacityUnavailable' });
    expect(await create('a.1')).toEqual(first);
    bench.knobs({ quota: 1 });
    await expect(create('b.1')).rejects.toMatchObject({ type: 'QuotaExceeded' });
    await bench.destroyed(first);
    await create('b.1');
    expect(await owned()).toBe(1);
  });

  it('shows a machine as running only after its boot time', async () => {
    open({ bootMs: 1_000 });
    const started = Date.now();
    const ref = await create('slow.1');
    await bench.seen(ref, 'running');
    expect(Date.now() - started).toBeGreaterThanOrEqual(1_000);
  });

  it('gives a new address each time, or the freed one at once', async () => {
    open({});
    const address = async (machineId: string): Promise<string> => {
      const { ref, access } = await bench.make(machineId);
      await bench.destroyed(ref);
      return access.address;
    };
    const [first, second] = [await address('a.1'), await address('b.1')];
    expect(first).toMatch(/^127\.77\.\d+\.\d+$/);
    expect(second).not.toBe(first);
    bench.knobs({ addressReuse: true });
    expect(await address('c.1')).toBe(await address('d.1'));
  });

  it('gives no address twice, also to machines that are made at once', async () => {
    open({});
    const given: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      const ids = Array.from({ length: 8 }, (_, n) => `many-${round}-${n}.1`);
      const made = await Promise.all(ids.map((id) => bench.make(id)));
      given.push(...made.map(({ access }) => access.address));
      await Promise.all(made.map(({ ref }) => bench.destroyed(ref)));
    }
    expect(new Set(given).size).toBe(given.length);
  });

  it('can have machines that never answer, show a strange host key, or refuse the first logins', async () => {
    open({ refuseLogins: 1 });
    const machine = await bench.make();
    expect(await machine.ssh('true')).toMatchObject({ code: 255, stderr: expect.stringMatching(/Permission denied/) });
    expect(await machine.ssh('true')).toMatchObject({ code: 0 });
    bench.knobs({ wrongHostKey: true });
    expect(await machine.ssh('true')).toMatchObject({
      code: 255,
      stderr: expect.stringMatching(/IDENTIFICATION|verification failed/),
    });
    bench.knobs({ neverAnswer: true });
    const socket = connect(machine.access.port, machine.access.address);
    await new Promise((resolve) => socket.once('connect', resolve));
    const said = await Promise.race([
      new Promise((resolve) => socket.once('data', resolve)),
      new Promise((resolve) => setTimeout(() => resolve('nothing'), 300)),
    ]);
    socket.destroy();
    expect(said).toBe('nothing');
    bench.knobs({});
    expect(await machine.ssh('true')).toMatchObject({ code: 0 });
  });

  it('tells its limit of user-data, and mistakes in the file', async () => {
    open({ userDataMaxBytes: 16_384 });
    expect(bench.provider.capabilities().userDataMaxBytes).toBe(16_384);
    bench.knobs({ capacity: -1, speed: 'high' } as unknown as Knobs);
    await expect(create('a.1')).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringMatching(/capacity.*speed/s),
    });
  });

  it('holds a create before its effect or after it, a boot, a login, a command and a destroy until told', async () => {
    open({ gates: { create: 'before', machine: '^held\\.' } });
    const free = await create('free.1');
    const held = create('held.1');
    held.catch(() => undefined);
    expect(await awaitHeld(bench.folder, 'create')).toEqual(['held.1']);
    expect(await owned()).toBe(1);
    bench.knobs({ gates: { create: 'after' } });
    await until(async () => ((await owned()) === 2 ? true : undefined));
    expect(await awaitHeld(bench.folder, 'create')).toEqual(['held.1']);
    bench.knobs({ gates: { boot: true, machine: '^held\\.' } });
    const ref = await held;
    expect((await bench.provider.get(ref, bench.signal())).state).toBe('pending');
    expect((await bench.provider.get(free, bench.signal())).state).toBe('running');
    expect(await awaitHeld(bench.folder, 'boot')).toEqual(['held.1']);
    bench.knobs({ gates: { login: true } });
    const machine = await bench.way('held.1', ref);
    const login = machine.ssh('echo in');
    await awaitHeld(bench.folder, 'login');
    bench.knobs({ gates: { exec: true, command: 'secret word' } });
    expect(await login).toMatchObject({ stdout: 'in\n' });
    const command = machine.ssh('cat # secret word', 'input that waits');
    expect(await awaitHeld(bench.folder, 'exec')).toEqual(['held.1']);
    expect(await machine.ssh('echo other')).toMatchObject({ stdout: 'other\n' });
    bench.knobs({ gates: { destroy: 'before' } });
    expect(await command).toMatchObject({ code: 0, stdout: 'input that waits' });
    const destroy = bench.provider.destroy(ref, bench.signal());
    await awaitHeld(bench.folder, 'destroy');
    expect((await bench.provider.get(ref, bench.signal())).state).toBe('running');
    bench.knobs({ gates: { destroy: 'after' } });
    await bench.seen(ref, 'absent');
    expect(heldAt(bench.folder, 'destroy')).toEqual(['held.1']);
    bench.knobs({});
    await destroy;
  });

  it('forgets a held caller that goes away', async () => {
    open({ gates: { create: 'before', login: true } });
    const abort = new AbortController();
    const held = bench.provider.create('k', bench.spec('box'), bench.tags('gone.1', 'k'), abort.signal);
    await awaitHeld(bench.folder, 'create');
    abort.abort();
    await expect(held).rejects.toThrow();
    await until(async () => (heldAt(bench.folder, 'create').length === 0 ? true : undefined));
    bench.knobs({ gates: { login: true } });
    expect(await owned()).toBe(0);
    const { access } = await bench.make();
    const socket = connect(access.port, access.address, () => socket.write('SSH-2.0-x\r\n'));
    await awaitHeld(bench.folder, 'login');
    socket.destroy();
    await until(async () => (heldAt(bench.folder, 'login').length === 0 ? true : undefined));
  });
});
