import { readFileSync, writeFileSync } from 'node:fs';
import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { alive } from '../support/local-machines.ts';
import { sshdPath } from '../support/sshd.ts';
import { startLab, type Lab, type LabOptions } from '../support/static-lab.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const labs: Lab[] = [];
const labOf = async (options: LabOptions): Promise<Lab> => {
  const lab = await startLab(options);
  labs.push(lab);
  return lab;
};
afterEach(async () => {
  for (const lab of labs.splice(0)) await lab.remove();
});
const reset = (...commands: readonly (readonly string[])[]) => ({
  reset: {
    leaves: [],
    commands: commands.map((command) => ({
      title: command.join(' '),
      command: { command, limitMs: 10_000, allowFailure: false },
    })),
  },
});
const stateOf = async (lab: Lab, name = 'box1') =>
  (await lab.provider.standing?.list(lab.signal()))?.find((machine) => machine.name === name);

describe.skipIf(sshdPath === undefined)('a machine of an inventory', () => {
  it('shows the next tenant nothing of the last one, and lets that in no more', async () => {
    const lab = await labOf({ machines: 1 });
    const { home } = lab.machines[0] as (typeof lab.machines)[number];
    writeFileSync(join(home, 'theirs.txt'), 'the operator’s\n');
    const first = await lab.claim();
    const { out } = await lab.sh(
      first.ref,
      `echo mine >~/mine.txt; echo changed >~/theirs.txt; mkdir ~/bin; setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!`,
    );
    const pid = Number(out);
    expect(alive(pid)).toBe(true);
    await lab.provider.destroy(first.ref, lab.signal());
    expect(await lab.provider.get(first.ref, lab.signal())).toEqual({ state: 'absent' });
    expect(alive(pid)).toBe(false);
    expect(readFileSync(join(home, 'theirs.txt'), 'utf8')).toBe('the operator’s\n');
    expect(readFileSync(join(home, '.ssh/authorized_keys'), 'utf8')).not.toContain(
      lab.clientKey.publicKey.split(' ')[1],
    );

    const second = await lab.claim();
    expect(second.ref['machine']).toBe(first.ref['machine']);
    expect(
      (await lab.sh(second.ref, 'ls -A ~ | grep -v "^[.]"; ls -A ~/.slipway ~/.slipway-static/tasks')).out,
    ).toMatch(/^theirs.txt\n/);
    await lab.provider.destroy(second.ref, lab.signal());
    expect(await lab.remains()).toEqual([]);
  });

  it('is made clean by the commands of the bundle and then those of the inventory', async () => {
    const lab = await labOf({ machines: 1, resetCommands: [['sh', '-c', 'echo inventory >>"$0"', '/dev/null']] });
    const log = join(lab.root, 'said');
    const tell = (text: string): readonly string[] => ['sh', '-c', `echo ${text} >>${log}`];
    writeFileSync(lab.file, lab.inventory({ resetCommands: [tell('inventory')] }));
    const { ref } = await lab.claim(reset(tell('first'), tell('second')));
    await lab.provider.destroy(ref, lab.signal());
    expect(readFileSync(log, 'utf8')).toBe('first\nsecond\ninventory\n');
    expect(await stateOf(lab)).toMatchObject({ state: 'free' });
  });

  it('that fails its reset is taken out and shown, and is lent again when an operator has put it back', async () => {
    const lab = await labOf({ machines: 1 });
    const { key, ref } = await lab.claim(reset(['sh', '-c', 'echo no scratch disk >&2; exit 3']));
    await lab.provider.destroy(ref, lab.signal());
    const why = 'reset command 1 (sh -c echo no scratch disk >&2; exit 3) exited 3 no scratch disk';
    expect(await lab.provider.get(ref, lab.signal())).toEqual({
      state: 'absent',
      takenOut: expect.stringContaining(`box1: its reset left something: ${why}`),
    });
    // Nothing of ours is owed there, and nobody gets it.
    expect(await lab.provider.list(lab.installation, lab.signal())).toEqual([]);
    expect(await lab.provider.findByKey(key, lab.signal())).toBeUndefined();
    await expect(lab.claim()).rejects.toMatchObject({
      type: 'CapacityUnavailable',
      message: expect.stringContaining('box1 is out of use (its reset left something'),
    });
    const check = await lab.provider.check(lab.signal());
    expect(check).toMatchObject({ ok: false, summary: '1 machines: 0 free, 0 taken, 1 out of use' });
    expect(check.items[0]).toMatchObject({ name: 'box1', ok: false, text: expect.stringContaining(why) });

    await expect(lab.provider.standing?.putBack('box2', lab.signal())).rejects.toMatchObject({ type: 'NotFound' });
    expect(await lab.provider.standing?.putBack('box1', lab.signal())).toMatchObject({ name: 'box1', state: 'free' });
    await expect(lab.provider.standing?.putBack('box1', lab.signal())).rejects.toMatchObject({
      type: 'InvalidRequest',
    });
    const next = await lab.claim();
    expect(await lab.sh(next.ref, 'true')).toMatchObject({ code: 0 });
    await lab.provider.destroy(next.ref, lab.signal());
    expect(await lab.remains()).toEqual([]);
  });

  it('is taken out when its tenant has changed what it remembers of itself', async () => {
    const lab = await labOf({ machines: 1 });
    const { ref } = await lab.claim();
    // Root's protocol lives elsewhere.
    await lab.sh(ref, 'for at in ~/.slipway-static /var/lib/slipway-static; do echo x >>$at/baseline/state; done');
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.provider.get(ref, lab.signal())).toMatchObject({
      takenOut: expect.stringContaining('what was remembered of this machine'),
    });
  });

  it('with another host key than the inventory’s is taken out, and nobody is sent there', async () => {
    const lab = await labOf({ machines: 2 });
    const other = lab.machines[1]?.hostKey.publicKey as string;
    const wrong = lab.inventory({}, ['box1']).replace(lab.machines[0]?.hostKey.publicKey as string, other);
    writeFileSync(lab.file, wrong);
    await expect(lab.claim()).rejects.toMatchObject({ type: 'HostKeyMismatch' });
    expect(await stateOf(lab)).toMatchObject({ state: 'out', why: expect.stringContaining('is not the pinned one') });
    await expect(lab.provider.standing?.putBack('box1', lab.signal())).rejects.toMatchObject({
      type: 'HostKeyMismatch',
    });
    writeFileSync(lab.file, lab.inventory({}, ['box1']));
    await lab.provider.standing?.putBack('box1', lab.signal());
    const { ref } = await lab.claim();
    await lab.provider.destroy(ref, lab.signal());
  });

  it('goes to one of all who want the last one, by any number of clients', async () => {
    const lab = await labOf({ machines: 3 });
    const other = lab.again();
    const asked = await Promise.allSettled(
      [0, 1, 2, 3, 4, 5, 6].map((n) => lab.claim({}, n % 2 ? other : lab.provider)),
    );
    const refs = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value.ref] : []));
    expect(new Set(refs.map(({ machine }) => machine)).size).toBe(3);
    expect(refs).toHaveLength(3);
    for (const each of asked)
      if (each.status === 'rejected') expect(each.reason).toMatchObject({ type: 'CapacityUnavailable' });
    for (const ref of refs) await lab.provider.destroy(ref, lab.signal());
    expect(await lab.remains()).toEqual([]);
  });

  it('has the labels that a variant asks for', async () => {
    const lab = await labOf({ machines: 3 });
    const { ref } = await lab.claim({ variant: { labels: { kind: 'box', number: '2' } } });
    expect(ref['machine']).toBe('box2');
    await expect(lab.claim({ variant: { labels: { number: '2' } } })).rejects.toMatchObject({
      type: 'CapacityUnavailable',
      message: expect.stringContaining('No machine is free with number=2'),
    });
    await expect(lab.claim({ variant: { labels: { number: '9' } } })).rejects.toMatchObject({
      message: expect.stringContaining('There is no machine with number=9'),
    });
    await lab.provider.destroy(ref, lab.signal());
  });

  it('that does not answer is passed over, and nothing stays of the claim', async () => {
    const lab = await labOf({ machines: 2 });
    await lab.machines[0]?.stop();
    const { ref } = await lab.claim();
    expect(ref['machine']).toBe('box2');
    expect(await stateOf(lab)).toMatchObject({ state: 'free' });
    await expect(lab.claim()).rejects.toMatchObject({ message: expect.stringContaining('box1 Cannot reach box1') });
    const check = await lab.provider.check(lab.signal());
    expect(check.items.find(({ name }) => name === 'box1')).toMatchObject({ ok: false });
    await lab.provider.destroy(ref, lab.signal());
  });

  it('that cannot be reached for its reset is on the way back for a while, and then taken out', async () => {
    const lab = await labOf({ machines: 1, returnWithinMs: 50 });
    const { ref } = await lab.claim();
    await lab.machines[0]?.stop();
    // The session of a claim lives on under a dead listener; a new one does not come about.
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.provider.get(ref, lab.signal())).toEqual({ state: 'destroying' });
    expect(await stateOf(lab)).toMatchObject({ state: 'returning', why: expect.stringContaining('Cannot reach') });
    await pause(60);
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.provider.get(ref, lab.signal())).toMatchObject({ state: 'absent', takenOut: expect.any(String) });
  });

  it('that another installation has is passed over until that gives it back', async () => {
    const lab = await labOf({ machines: 1 });
    const others = await startLabOn(lab);
    const theirs = await others.claim();
    await expect(lab.claim()).rejects.toMatchObject({
      type: 'CapacityUnavailable',
      message: expect.stringContaining(`is held by claim1.1 of installation ${others.installation}`),
    });
    expect(await others.sh(theirs.ref, 'true')).toMatchObject({ code: 0 });
    await others.provider.destroy(theirs.ref, lab.signal());
    // A client that has not just been turned away there.
    const { ref } = await lab.claim({}, lab.again());
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.remains()).toEqual([]);
  });

  it('that leaves the inventory while it is lent is given back, and is no more then', async () => {
    const lab = await labOf({ machines: 2 });
    const { ref } = await lab.claim({ variant: { labels: { number: '1' } } });
    writeFileSync(lab.file, lab.inventory({}, ['box2']));
    expect(await lab.sh(ref, 'true')).toMatchObject({ code: 0 });
    expect(await stateOf(lab)).toMatchObject({ state: 'taken' });
    await lab.provider.destroy(ref, lab.signal());
    expect(await lab.provider.get(ref, lab.signal())).toEqual({ state: 'absent' });
    expect(await stateOf(lab)).toBeUndefined();
  });

  it('is one machine however often the create of a claim is cut, and clean after it', async () => {
    const lab = await labOf({ machines: 3 });
    for (const [n, afterMs] of [5, 40, 120, 250, 400].entries()) {
      const key = `cut${n}`;
      const create = (by = lab.provider, within = 30_000) =>
        by.create(key, lab.spec(key), lab.tags(key), AbortSignal.timeout(within));
      await create(lab.provider, afterMs).catch(() => undefined);
      const ref = await create(lab.again());
      expect(await lab.sh(ref, 'true')).toMatchObject({ code: 0 });
      expect(await lab.provider.list(lab.installation, lab.signal())).toHaveLength(1);
      await lab.provider.destroy(ref, lab.signal());
      await expect(create()).rejects.toMatchObject({ type: 'Gone' });
      expect(await lab.remains()).toEqual([]);
    }
  });

  it('cannot be had with a key that others can read', async () => {
    const lab = await labOf({ machines: 1 });
    await chmod(join(lab.root, 'key1'), 0o644);
    await expect(lab.claim()).rejects.toMatchObject({
      message: expect.stringContaining('can be read by others (mode 644)'),
    });
    expect(await readdir(join(lab.machines[0]?.home as string))).not.toContain('.slipway');
  });
});

/** Another installation that has the same machines in its inventory. */
async function startLabOn(lab: Lab): Promise<Lab> {
  const other = await startLab({ machines: 0 });
  labs.push(other);
  writeFileSync(other.file, readFileSync(lab.file, 'utf8').replaceAll('"key', `"${lab.root}/key`));
  return other;
}
