import { existsSync, writeFileSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isRoot, localBench, until, type LocalBench } from '../support/local-machines.ts';
import { startLab, type Lab } from '../support/static-lab.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** A whole machine, of `local`, as one that stands: it has systems of its own to boot. */
async function standingMachine(reload?: readonly string[]) {
  const bench: LocalBench = localBench();
  ends.push(() => bench.close());
  const { ref, access } = await bench.make('rack.1');
  const lab: Lab = await startLab({ machines: 0, returnWithinMs: 60_000 });
  ends.push(() => lab.remove());
  writeFileSync(join(lab.root, 'key'), bench.clientKey.privateKey);
  await chmod(join(lab.root, 'key'), 0o600);
  const { address, port, user } = access;
  const machines = { rack1: { address, port, user, hostKey: bench.hostKey.publicKey, identityFile: 'key' } };
  writeFileSync(lab.file, JSON.stringify({ machines, ...(reload ? { reload } : {}) }));
  return { bench, lab, machine: ref };
}
const stateOf = async (lab: Lab) => (await lab.provider.standing?.list(lab.signal()))?.[0];
const fails = {
  reset: {
    leaves: [],
    commands: [{ title: 'fail', command: { command: ['false'], limitMs: 10_000, allowFailure: false } }],
  },
};

describe.skipIf(!isRoot)('a standing machine with a system of its own', () => {
  it('is reset as a whole: files of the system, users and processes', async () => {
    const { lab } = await standingMachine();
    const look =
      'grep evil /etc/passwd; ls /etc/cron.d/x; for at in /proc/[0-9]*/comm; do read -r name <$at; [ "$name" != sleep ] || echo $name; done';
    const first = await lab.claim();
    await lab.sh(
      first.ref,
      'echo evil >>/etc/passwd; echo x >/etc/cron.d/x; setsid sleep 999 >/dev/null 2>&1 </dev/null & sleep 0.2',
    );
    expect((await lab.sh(first.ref, look)).out).toBe('evil\n/etc/cron.d/x\nsleep\n');
    await lab.provider.destroy(first.ref, lab.signal());
    expect(await stateOf(lab)).toMatchObject({ name: 'rack1', state: 'free' });
    const second = await lab.claim();
    expect((await lab.sh(second.ref, look)).out).toBe('');
    await lab.provider.destroy(second.ref, lab.signal());
  });

  it('that fails its reset is made anew by its operator’s command, and lent when it shows another system', async () => {
    const { bench, lab, machine } = await standingMachine(['sh', '-c', 'env | grep ^SLIPWAY_ | sort >reloaded']);
    const { ref } = await lab.claim(fails);
    await lab.sh(ref, 'touch ~/mine');
    const asked = join(lab.root, 'reloaded');
    await lab.provider.destroy(ref, lab.signal());
    expect(await stateOf(lab)).toMatchObject({
      state: 'returning',
      why: expect.stringContaining('reset command 1 (fail)'),
    });
    await lab.provider.destroy(ref, lab.signal());
    expect((await readFile(asked, 'utf8')).split('\n')).toEqual([
      expect.stringMatching(/^SLIPWAY_MACHINE_ADDRESS=127\.77\./),
      'SLIPWAY_MACHINE_NAME=rack1',
      expect.stringMatching(/^SLIPWAY_MACHINE_PORT=\d+$/),
      'SLIPWAY_MACHINE_USER=root',
      '',
    ]);
    // The command has run, and the old system answers still: also with our mark gone it is not taken for a new one.
    const asOld = await bench.way('rack', machine);
    await asOld.ssh('rm -rf /var/lib/slipway-static.holder');
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.provider.get(ref, lab.signal())).toEqual({ state: 'destroying' });

    await bench.provider.reload?.(machine, bench.spec('rack-1'), 2, bench.signal());
    await until(async () => {
      await lab.provider.destroy(ref, lab.signal());
      return (await stateOf(lab))?.state === 'free' ? true : undefined;
    });
    expect(await lab.provider.get(ref, lab.signal())).toEqual({ state: 'absent' });
    const next = await lab.claim();
    expect(await lab.sh(next.ref, 'ls ~/mine')).toMatchObject({ out: '' });
    await lab.provider.destroy(next.ref, lab.signal());
    expect(await stateOf(lab)).toMatchObject({ state: 'free' });
  });

  it('is taken out when its operator’s command fails, too', async () => {
    const { lab } = await standingMachine(['sh', '-c', 'echo no such rack >&2; exit 4']);
    const { ref } = await lab.claim(fails);
    await lab.provider.destroy(ref, lab.signal());
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.provider.get(ref, lab.signal())).toMatchObject({
      state: 'absent',
      takenOut: expect.stringMatching(/reset command 1 \(fail\) exited 1; and its reload exited 4 no such rack$/),
    });
    expect(existsSync(join(lab.root, 'reloaded'))).toBe(false);
  });
});
