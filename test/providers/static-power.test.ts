import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sshdPath } from '../support/sshd.ts';
import { startLab, switches, type Lab } from '../support/static-lab.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let lab: Lab;
afterEach(() => lab.remove());
/** With these switches from the start. */
async function labWith(power: object, more: object = {}) {
  lab = await startLab({ machines: 1 });
  writeFileSync(lab.file, lab.inventory({ power, ...more }));
  return lab.again();
}
const refused = (call: Promise<unknown> | undefined): Promise<Error> =>
  Promise.resolve(call).then(
    () => new Error('it was not refused'),
    (error: unknown) => error as Error,
  );

describe.skipIf(sshdPath === undefined)('the power of a standing machine', () => {
  it('is there only where the inventory says how', async () => {
    lab = await startLab({ machines: 1 });
    expect([lab.provider.capabilities().power, lab.provider.power]).toEqual([false, undefined]);
  });

  it('is switched by its operator’s commands, with which machine and the secrets in their environment only', async () => {
    const env = ['sh', '-c', 'env | grep -E "^(SLIPWAY_MACHINE_NAME|BMC)" | sort >>asked; echo "$0" >>asked'];
    const provider = await labWith(
      { on: [...env, 'on'], off: [...env, 'off'] },
      { secretEnv: { BMC: 'bmc-password' } },
    );
    const { ref } = await lab.claim({}, provider);
    await provider.power?.(ref, 'reset', lab.signal());
    const each = (word: string) => `BMC=secret of bmc-password\nSLIPWAY_MACHINE_NAME=box1\n${word}\n`;
    expect(await readFile(join(lab.root, 'asked'), 'utf8')).toBe(each('off') + each('on'));
    // Without a status command it is what its claim says.
    expect(await provider.get(ref, lab.signal())).toMatchObject({ state: 'running' });
  });

  it('that cannot be switched says why, without the secret', async () => {
    const broken = ['sh', '-c', 'echo "no route to $BMC" >&2; exit 4'];
    const status = ['sh', '-c', 'echo "$BMC" >&2; exit 1'];
    const provider = await labWith({ on: broken, off: broken, status }, { secretEnv: { BMC: 'bmc-password' } });
    const { ref } = await lab.claim({}, provider);
    const { message } = await refused(provider.power?.(ref, 'off', lab.signal()));
    expect(message).toBe('Machine box1 was not switched: sh exited 4 no route to ***');
    expect(await provider.get(ref, lab.signal())).toMatchObject({
      state: 'running',
      facts: { power: 'its status command exited 1 ***' },
    });
    await provider.destroy(ref, lab.signal());
    expect((await refused(provider.power?.(ref, 'on', lab.signal()))).message).toContain(
      'is not lent under this claim',
    );
  });

  it('that is off when it is given back is switched on, made clean and lent again', async () => {
    const provider = await labWith(switches);
    const { ref } = await lab.claim({}, provider);
    await lab.sh(ref, 'touch ~/left');
    await provider.power?.(ref, 'off', lab.signal());
    await vi.waitFor(
      async () => expect(await provider.get(ref, lab.signal())).toMatchObject({ state: 'stopped' }),
      9_000,
    );
    await provider.destroy(ref, lab.signal());
    expect(existsSync(join(lab.root, 'box1.off'))).toBe(false);
    expect(await lab.remains()).toEqual([]);
    const next = await lab.claim({}, provider);
    expect((await lab.sh(next.ref, 'ls ~')).out).not.toContain('left');
  });

  it('that does not answer for its reset is switched on once before it is given up', async () => {
    lab = await startLab({ machines: 1, returnWithinMs: 50 });
    writeFileSync(lab.file, lab.inventory({ power: { on: ['sh', '-c', 'echo on >>asked'], off: ['true'] } }));
    const provider = lab.again();
    const { ref } = await lab.claim({}, provider);
    await lab.machines[0]?.stop();
    await provider.destroy(ref, lab.signal());
    expect((await provider.standing?.list(lab.signal()))?.[0]).toMatchObject({
      state: 'returning',
      why: 'it did not answer, and was switched on',
    });
    await vi.waitFor(async () => {
      await provider.destroy(ref, lab.signal());
      expect(await provider.get(ref, lab.signal())).toMatchObject({ state: 'absent', takenOut: expect.any(String) });
    }, 9_000);
    expect(await readFile(join(lab.root, 'asked'), 'utf8')).toBe('on\n');
  });

  it('that is given back in the middle of a reset is not switched any more, and is lent again only after it', async () => {
    const slow = ': >offing; until [ -e go ]; do sleep 0.05; done; echo off >>asked';
    const provider = await labWith({ on: ['sh', '-c', 'echo on >>asked'], off: ['sh', '-c', slow] });
    const { ref } = await lab.claim({}, provider);
    const asked = refused(provider.power?.(ref, 'reset', lab.signal()));
    await vi.waitFor(() => expect(existsSync(join(lab.root, 'offing'))).toBe(true), 9_000);
    const order: string[] = [];
    const back = provider.destroy(ref, lab.signal()).then(() => order.push('given back'));
    await vi.waitFor(async () => expect((await provider.get(ref, lab.signal())).state).toBe('destroying'), 9_000);
    writeFileSync(join(lab.root, 'go'), '');
    const { message } = await asked.finally(() => order.push('answered'));
    expect(message).toContain('is not lent under this claim');
    await back;
    expect(order).toEqual(['answered', 'given back']);
    expect(await readFile(join(lab.root, 'asked'), 'utf8')).toBe('off\n');
    await lab.claim({}, provider);
  });

  it('that does not answer is taken out also when the inventory says no more how it is switched', async () => {
    lab = await startLab({ machines: 1, returnWithinMs: 50, power: true });
    const provider = lab.again();
    const { ref } = await lab.claim({}, provider);
    await lab.machines[0]?.stop();
    writeFileSync(lab.file, lab.inventory());
    await vi.waitFor(async () => {
      await provider.destroy(ref, lab.signal());
      expect(await provider.get(ref, lab.signal())).toMatchObject({ state: 'absent', takenOut: expect.any(String) });
    }, 9_000);
  });
});
