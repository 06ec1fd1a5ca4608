import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Guest, Guests } from '../../src/guest/guest.ts';
import { createGuests } from '../../src/guest/guests.ts';
import { sshdPath, startSshd, type Sshd } from '../support/sshd.ts';

const soon = (): AbortSignal => AbortSignal.timeout(25_000);

describe.skipIf(sshdPath === undefined)('a guest behind a real sshd', () => {
  let sshd: Sshd;
  let guests: Guests;
  let guest: Guest;
  beforeAll(async () => {
    sshd = await startSshd();
    guests = createGuests({ base: sshd.base });
    guest = guests.at(sshd.at(), sshd.clientKey.privateKey);
  });
  afterAll(async () => {
    await guests.close();
    await sshd.remove();
  });
  /** To its end, as the worker does. */
  const run = async (key: string, shell: string): Promise<number | null> => {
    await guest.launch(key, { command: { shell } }, soon());
    const none = { data: () => Promise.resolve(), alive: () => undefined };
    return (await guest.follow(key, { stdout: 0, stderr: 0 }, none, soon())).exitCode;
  };

  it('is as it was after a reset, runs tasks of the same name again, and its tenants are cut off', async () => {
    writeFileSync(join(sshd.home, 'kept'), 'kept');
    // A connection of a worker that was there before is no tenant's, and is not there any more afterwards.
    const baseline = await guest.baseline([], soon());
    const tenants = createGuests({ base: join(sshd.home, 'tenant') });
    const tenant = tenants.at(sshd.at('tenant'), sshd.clientKey.privateKey);
    await tenant.probe(soon());
    expect(await run('lease/job', `echo secret >~/left; echo changed >~/kept; setsid sleep 85001 & exit 3`)).toBe(3);
    await guest.launch('lease/runs', { command: ['sleep', '85002'] }, soon());
    expect(await guest.reset(baseline, [], soon())).toEqual([]);
    expect(existsSync(join(sshd.home, 'left'))).toBe(false);
    expect(existsSync(join(sshd.home, 'tenant'))).toBe(false);
    expect(readFileSync(join(sshd.home, 'kept'), 'utf8')).toBe('kept');
    expect(readdirSync(join(sshd.base, 'tasks'))).toEqual([]);
    expect(await run('lease/job', 'pgrep -f "sleep 8500[12]" || exit 4')).toBe(4);
    expect(await guest.reset(baseline, [], soon())).toEqual([]);
    await tenants.close();
  });

  it('runs our reset and not one that a tenant has put in its place', async () => {
    const baseline = await guest.baseline([], soon());
    const script = readdirSync(join(sshd.base, 'bin')).find((name) => name.startsWith('reset')) ?? '';
    writeFileSync(join(sshd.base, 'bin', script), `echo fooled >${sshd.home}/fooled\n`);
    mkdirSync(join(sshd.home, 'new'));
    expect(await guest.reset(baseline, [], soon())).toEqual([]);
    expect(readdirSync(sshd.home)).not.toContain('fooled');
    expect(readdirSync(sshd.home)).not.toContain('new');
  });

  it('says what it cannot take away, and what it cannot remember', async () => {
    const baseline = await guest.baseline([], soon());
    appendFileSync(join(sshd.base, 'baseline', 'state'), 'l\t/x\n');
    expect(await guest.reset(baseline, [], soon())).toEqual([expect.stringContaining('was changed')]);
    writeFileSync(join(sshd.home, 'odd\nname'), '');
    await expect(guest.baseline([], soon())).rejects.toMatchObject({
      type: 'CustomizeFailed',
      message: expect.stringContaining('takes no baseline: there are file names with control characters'),
    });
  });
});
