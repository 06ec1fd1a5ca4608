import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { beaconFunction, startBeacon, type Beacon } from '../support/beacon.ts';
import { startSshProxy, type SshProxy, type WireFault } from '../support/ssh-proxy.ts';
import { freshId, sha256, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// A dead peer is noticed after 15 s only, and the machine may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

let stack: TestStack;
let proxy: SshProxy;
let beacon: Beacon;

const sshPort = 2_222;
const half = 20_000;
const lines = (leaseId: string, word: string): string =>
  Array.from({ length: 2 * half }, (_, n) => `${leaseId} ${word} ${n + 1}\n`).join('');

beforeAll(async () => {
  beacon = await startBeacon();
  // A step knows its machine by its address only.
  const step = `${beaconFunction(beacon.port)} beacon "step $SLIPWAY_ADDRESS"; seq 1 40000`;
  const stepped = `variants:\n  - provider: local\ncommands:\n  - run: ${JSON.stringify(['bash', '-c', step])}\n`;
  stack = await startTestStack({ bundles: { bare: 'variants:\n  - provider: local\n', stepped } });
  proxy = await startSshProxy({ host: '0.0.0.0', to: (address) => ({ host: address, port: sshPort }) });
  stack.faults({ fault: 'detour', port: proxy.port });
});
afterAll(async () => {
  await stack.stop();
  await proxy.close();
  await beacon.close();
});

type Moment = 'login' | 'step' | 'output' | 'end';

/** Two halves of output on each stream; held before the first, between the two, or after the second. */
async function leaseHeldAt(moment: Moment) {
  const leaseId = freshId(moment);
  const part = (from: number): string =>
    ['out', 'err']
      .map((word) => `seq -f "${leaseId} ${word} %.0f" ${from} ${from + half - 1} ${word === 'err' ? '>&2' : ''}; `)
      .join('');
  const hold = (at: Moment): string => (at === moment ? `beacon "${at} ${leaseId}"; ` : '');
  const script = `${beaconFunction(beacon.port)} beacon "run ${leaseId}"; ${part(1)}${hold('output')}${part(half + 1)}${hold('end')}exit 7`;
  beacon.letGo(`run ${leaseId}`);
  const bundle = moment === 'step' ? 'stepped' : 'bare';
  await stack.create({ leaseId, bundle, job: { command: ['bash', '-c', script] } });
  const address = async (): Promise<string | undefined> =>
    (await stack.json<{ access?: { address: string } }>(`/v1/machines/${leaseId}.1`).catch(() => undefined))?.access
      ?.address;
  if (moment === 'login') return { moment, leaseId, word: undefined, address: undefined };
  await until(`${leaseId} has an address`, async () => (await address()) !== undefined);
  const found = await address();
  const word = `${moment} ${moment === 'step' ? found : leaseId}`;
  await beacon.arrived(word);
  return { moment, leaseId, word, address: found };
}

async function expectWhole(leaseId: string): Promise<void> {
  const { out, err, result } = await stack.follow(leaseId);
  expect(result).toMatchObject({ state: 'exited', exitCode: 7, lost: false });
  expect([sha256(out), sha256(err)]).toEqual([sha256(lines(leaseId, 'out')), sha256(lines(leaseId, 'err'))]);
  expect(beacon.arrivals(`run ${leaseId}`)).toBe(1);
  const view = await stack.wait(leaseId, 'gone');
  expect(view.state).toBe('released');
  expect(view.attempts).toHaveLength(1);
}

const atByte = (fault: 'cut' | 'reset' | 'stall', toward: 'guest' | 'worker') => (moment: Moment) =>
  // In the middle of what comes then: keys at a login, output, or the word of the end.
  ({ fault, toward, afterBytes: { login: 700, step: 20_000, output: 100_000, end: 20 }[moment] }) satisfies WireFault;
const next = (fault: 'cut' | 'reset' | 'stall') => (): WireFault => ({ fault, toward: 'guest', afterBytes: 10 });

const faults: readonly (readonly [string, (moment: Moment) => WireFault])[] = [
  ['cut in the middle of what the guest says', atByte('cut', 'worker')],
  ['cut in the middle of what the guest is told', next('cut')],
  ['reset', atByte('reset', 'worker')],
  ['silent from a byte on', atByte('stall', 'worker')],
  ['slow', () => ({ fault: 'slow', bytesPerSecond: 400_000 })],
];

describe.each(faults)('a connection that is %s', (_title, faultAt) => {
  it('in a login, a step, a job’s output and at its end: each job runs once, whole, with its true exit', async () => {
    const held = await Promise.all((['step', 'output', 'end'] as const).map(leaseHeldAt));
    const before = proxy.struck();
    for (const { moment, address } of held) proxy.arm(faultAt(moment), address);
    for (const { word } of held) beacon.letGo(word ?? '');
    const name = faultAt('end').fault;
    await until('the three are struck', () => proxy.struck()[name] >= before[name] + 3);
    await Promise.all(held.map(({ leaseId }) => expectWhole(leaseId)));
    for (const { word } of held) expect(beacon.arrivals(word ?? '')).toBe(1);

    // A machine that is not there yet has no address: whatever connects next.
    proxy.arm(faultAt('login'));
    proxy.arm(faultAt('login'));
    const { leaseId } = await leaseHeldAt('login');
    await until('the login is struck', () => proxy.struck()[name] > before[name] + 3);
    await expectWhole(leaseId);
    proxy.clear();
    expect(await stack.machinesLeft()).toEqual([]);
  });
});

describe('a machine that takes no connection for a time', () => {
  it('while a step, output and an end are due: each job runs once, whole, with its true exit', async () => {
    const held = await Promise.all((['step', 'output', 'end'] as const).map(leaseHeldAt));
    const before = proxy.struck().refuse;
    for (const { address } of held) {
      proxy.arm({ fault: 'refuse' }, address);
      proxy.reset(address);
    }
    for (const { word } of held) beacon.letGo(word ?? '');
    await until('six tries were refused', () => proxy.struck().refuse >= before + 6);
    proxy.clear();
    await Promise.all(held.map(({ leaseId }) => expectWhole(leaseId)));
    expect(await stack.machinesLeft()).toEqual([]);
  });

  it('when it should be logged in to first', async () => {
    proxy.arm({ fault: 'refuse' });
    const before = proxy.struck().refuse;
    const { leaseId } = await leaseHeldAt('login');
    await until('two tries were refused', () => proxy.struck().refuse >= before + 2);
    proxy.clear();
    await expectWhole(leaseId);
  });

  it('and refuses logins in the middle of a job', async () => {
    const held = await leaseHeldAt('output');
    await stack.knobs({ refuseLogins: 3 });
    proxy.reset(held.address);
    beacon.letGo(held.word ?? '');
    await expectWhole(held.leaseId);
    await stack.knobs({});
  });

  it('and refuses logins in the middle of a step', async () => {
    const held = await leaseHeldAt('step');
    await stack.knobs({ refuseLogins: 3 });
    proxy.reset(held.address);
    beacon.letGo(held.word ?? '');
    await expectWhole(held.leaseId);
    expect(beacon.arrivals(held.word ?? '')).toBe(1);
    await stack.knobs({});
  });

  it('and refuses logins when a job is to be ended', async () => {
    const { leaseId, address } = await leaseHeldAt('output');
    await stack.knobs({ refuseLogins: 12 });
    proxy.reset(address);
    await stack.post(`/v1/leases/${leaseId}/tasks/job/cancel`);
    expect((await stack.follow(leaseId)).result).toMatchObject({ state: 'cancelled', exitCode: 143 });
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    await stack.knobs({});
  });

  it('and refuses its first logins', async () => {
    await stack.knobs({ refuseLogins: 3 });
    const { leaseId } = await leaseHeldAt('login');
    await expectWhole(leaseId);
    await stack.knobs({});
  });
});
