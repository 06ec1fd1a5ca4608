import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitHeld } from '../support/local-knobs.ts';
import {
  isRoot,
  localBench,
  newKeys,
  startAs,
  until,
  type Keys,
  type LocalBench,
  type TestMachine,
} from '../support/local-machines.ts';

/** How many of this host have exactly this command line. */
const processesOf = (cmdline: string): number =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1') === cmdline;
    } catch {
      return false; // It ended.
    }
  }).length;

const tiers = isRoot ? (['root', 'plain'] as const) : (['plain'] as const);

describe.each(tiers)('a reload on local, tier %s', (tier) => {
  // Tier plain refuses root: there its process runs as the user that owns nothing.
  const uid = isRoot && tier === 'plain' ? 65_534 : undefined;
  const idle = { idleMs: 60_000, tier };
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench(idle, undefined, uid);
  });
  const start = async (): Promise<void> => {
    if (uid !== undefined) await startAs(bench, uid);
  };
  beforeAll(start);
  afterAll(async () => {
    bench.knobs({ idleMs: 10, tier });
    await bench.close();
  });

  const reload = (machine: TestMachine, keys: Keys, generation = 2): Promise<void> => {
    const spec = {
      ...bench.spec('again'),
      hostKey: keys.hostKey.privateKey,
      authorizedKeys: [keys.clientKey.publicKey],
    };
    const { provider } = bench;
    if (!provider.reload) throw new Error('local has no reload');
    return provider.reload(machine.ref, spec, generation, bench.signal());
  };
  /** One that a tenant has used: files, locked folders, and commands that got away from their session. */
  const used = async (machineId: string): Promise<TestMachine & { readonly sleepers: () => number }> => {
    const machine = await bench.make(machineId);
    const seconds = Number.parseInt(randomBytes(5).toString('hex'), 16);
    const command = `mkdir -p ~/locked/in && echo secret >~/locked/in/file && chmod 000 ~/locked/in ~/locked
      setsid sh -c 'exec sleep ${seconds}' >/dev/null 2>&1 </dev/null & (sleep ${seconds} >/dev/null 2>&1 </dev/null &)`;
    expect((await machine.ssh(command)).code).toBe(0);
    // All that run here are seen from the host, whatever hides there.
    const sleepers = (): number => processesOf(`sleep\0${seconds}\0`);
    await until(async () => sleepers() === 2 || undefined);
    return { ...machine, sleepers };
  };
  const bootOf = async (machine: TestMachine): Promise<string> =>
    (await machine.ssh('cat /proc/sys/kernel/random/boot_id')).stdout.trim();

  it('leaves nothing of what was there, and boots anew under the same address', async () => {
    const machine = await used('used.1');
    const before = await bootOf(machine);
    const keys = newKeys();
    await reload(machine, keys);
    const after = await bench.way(machine.key, machine.ref, keys);
    expect(after.access).toEqual(machine.access);
    expect((await after.ssh('ls -A ~')).stdout).toBe('');
    expect(machine.sleepers()).toBe(0);
    if (tier === 'root') {
      expect(await bootOf(after)).not.toBe(before);
      expect((await after.ssh('uname -n')).stdout).toBe('again\n');
    }
    // Neither the old key to log in with, nor the old key to be known by.
    expect((await machine.ssh('true')).code).toBe(255);
    const half = await bench.way(machine.key, machine.ref, { ...keys, clientKey: bench.clientKey });
    expect(await half.ssh('true')).toMatchObject({ code: 255, stderr: expect.stringContaining('Permission denied') });
    await bench.destroyed(machine.ref);
  });

  it('that the process died in is finished by the next one, and is one reload', async () => {
    const machine = await used('midway.1');
    const keys = newKeys();
    bench.knobs({ ...idle, gates: { reload: 'midway', machine: '^midway' } });
    const lost = reload(machine, keys).catch((error: unknown) => error);
    await awaitHeld(bench.folder, 'reload');
    expect(await bench.provider.get(machine.ref, bench.signal())).toMatchObject({ state: 'pending', generation: 2 });
    await bench.kill();
    expect(await lost).toMatchObject({ type: 'ProviderUnavailable' });
    bench.knobs(idle);
    await start();
    // Nobody has asked again, and it is whole.
    expect(await bench.seen(machine.ref, 'running')).toMatchObject({ generation: 2, access: machine.access });
    const after = await bench.way(machine.key, machine.ref, keys);
    await after.ssh('echo kept >~/kept');
    await reload(machine, keys);
    expect((await after.ssh('ls -A ~')).stdout).toBe('kept\n');
    expect(machine.sleepers()).toBe(0);
    await bench.destroyed(machine.ref);
    expect(await bench.remains()).toEqual([]);
  });

  it('that the process died in at any moment is one machine afterwards, old or new and never both', async () => {
    const machine = await used('any.1');
    for (const [n, delayMs] of [0, 3, 10, 30].entries()) {
      const keys = newKeys();
      const generation = n + 2;
      const lost = reload(machine, keys, generation).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await bench.kill();
      await lost;
      await start();
      // As an activity does: the connection may still be to the process that died.
      await until(() =>
        reload(machine, keys, generation).then(
          () => true,
          (error: unknown) => {
            if ((error as { type?: unknown }).type === 'ProviderUnavailable') return undefined;
            throw error;
          },
        ),
      );
      const after = await bench.way(machine.key, machine.ref, keys);
      expect(await bench.seen(machine.ref, 'running')).toMatchObject({ generation });
      expect((await after.ssh(`ls -A ~; echo ${n} >~/left`)).stdout).toBe('');
      expect(await bench.provider.list(bench.installation, bench.signal())).toHaveLength(1);
    }
    await bench.destroyed(machine.ref);
    expect(await bench.remains()).toEqual([]);
  });

  it('that its host refuses is told, and goes on when it is asked for again', async () => {
    const machine = await used('refused.1');
    const keys = newKeys();
    const spec = { ...bench.spec('again'), variant: { noSuchKey: 1 } };
    await expect(bench.provider.reload?.(machine.ref, spec, 2, bench.signal())).rejects.toMatchObject({
      type: 'InvalidRequest',
    });
    expect(machine.sleepers()).toBe(2);
    bench.knobs({ ...idle, bootMs: 600_000 });
    await reload(machine, keys);
    expect(await bench.provider.get(machine.ref, bench.signal())).toMatchObject({ state: 'pending', generation: 2 });
    bench.knobs(idle);
    await reload(machine, keys, 3);
    expect(await bench.seen(machine.ref, 'running')).toMatchObject({ generation: 3 });
    await bench.destroyed(machine.ref);
  });

  it('by keys alone leaves files and commands, and ends who is connected', async () => {
    const machine = await used('rekeyed.1');
    const open = machine.ssh('exec sleep 87654');
    const keys = newKeys();
    const identity = { hostKey: keys.hostKey.privateKey, authorizedKeys: [keys.clientKey.publicKey] };
    await until(async () => processesOf(['sleep', '87654', ''].join('\0')) === 1 || undefined);
    await bench.provider.rekey?.(machine.ref, identity, 2, bench.signal());
    expect((await open).code).toBe(255);
    const after = await bench.way(machine.key, machine.ref, keys);
    expect(machine.sleepers()).toBe(2);
    expect((await after.ssh('chmod 700 ~/locked ~/locked/in; cat ~/locked/in/file')).stdout).toBe('secret\n');
    expect((await machine.ssh('true')).code).toBe(255);
    await bench.kill();
    await start();
    await bench.noticed(machine.ref);
    await bench.seen(machine.ref, 'running');
    expect((await after.ssh('echo in')).stdout).toBe('in\n');
    await bench.destroyed(machine.ref);
  });
});
