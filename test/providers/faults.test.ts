import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { countCall } from '../../src/providers/faults/call-count.ts';
import { chance, strikes } from '../../src/providers/faults/fault-choice.ts';
import type { Rule } from '../../src/providers/faults/fault-file.ts';
import { withFaults } from '../../src/providers/faults/faulty-provider.ts';
import type { Provider, ProviderRef } from '../../src/providers/provider.ts';
import { struckFaults, turnFaults } from '../support/faults.ts';
import { memoryProvider } from '../support/memory-provider.ts';

let state: string;
let memory: ReturnType<typeof memoryProvider>;
let provider: Provider;
const through = (): Provider =>
  withFaults(memory.provider, { path: join(state, 'faults.json'), providers: ['memory', 'other'] });
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'slipway-faults-'));
  memory = memoryProvider();
  provider = through();
});
afterEach(() => rmSync(state, { recursive: true, force: true }));

const soon = (): AbortSignal => AbortSignal.timeout(10_000);
const tags = (key: string) => ({
  'slipway-installation': 'ours',
  'slipway-machine': `${key}.1`,
  'slipway-lease': key,
  'slipway-key': key,
});
const spec = { hostname: 'box', variant: {}, hostKey: '', authorizedKeys: [] };
const create = (key = 'a', by = provider): Promise<ProviderRef> => by.create(key, spec, tags(key), soon());
const turn = (...rules: readonly Readonly<Record<string, unknown>>[]): void => turnFaults(state, { memory: rules });
const struck = (): readonly string[] => struckFaults(state).map(({ fault, verb }) => `${fault} ${verb}`);
const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'ok',
    (error: { type?: string }) => error.type ?? error,
  );

describe('without a file of faults', () => {
  it('each call is the driver’s own', async () => {
    const ref = await create();
    expect(await provider.findByKey('a', soon())).toEqual(ref);
    expect((await provider.get(ref, soon())).state).toBe('running');
    expect(await provider.list('ours', soon())).toHaveLength(1);
    await provider.destroy(ref, soon());
    expect(memory.calls).toEqual(['create', 'findByKey', 'get', 'list', 'destroy']);
    expect(provider.capabilities()).toEqual(memory.provider.capabilities());
    expect(struck()).toEqual([]);
  });

  it('one that comes is read at the next call, and one that goes is forgotten', async () => {
    expect(await outcome(create())).toBe('ok');
    turn({ fault: 'serverError', verb: 'create' });
    expect(await outcome(create())).toBe('ProviderUnavailable');
    turn({ fault: 'rateLimited', verb: 'create' });
    expect(await outcome(create())).toBe('RateLimited');
    rmSync(join(state, 'faults.json'));
    expect(await outcome(create())).toBe('ok');
  });

  it('only the named provider is struck', async () => {
    turnFaults(state, { other: [{ fault: 'serverError', verb: 'create' }] });
    expect(await outcome(create())).toBe('ok');
  });
});

describe('a file with mistakes', () => {
  it.each([
    ['{"memory":', 'is not JSON'],
    ['{"memory":[{"fault":"rain","verb":"create"}]}', 'memory.0.fault: fault must be one of lostResponse, rateLimited'],
    ['{"memory":[{"fault":"addressReuse"}]}', '`local` has a knob of that name'],
    ['{"memory":[{"fault":"reset","verb":"jump"}]}', 'memory.0.verb: must be one or several of create, findByKey'],
    ['{"memory":[{"fault":"reset","verb":"get","rate":2}]}', 'memory.0.rate'],
    ['{"memory":[{"fault":"reset","verb":"get","rate":0.5,"count":1}]}', 'only one of them'],
    ['{"memory":[{"fault":"reset","verb":"get","of":3}]}', '`of` goes with `count`'],
    ['{"memory":[{"fault":"listLag"}]}', 'memory.0.forMs'],
    ['{"mem":[]}', 'mem: no such provider (memory, other)'],
  ])('%s is refused, and says why', async (text, why) => {
    writeFileSync(join(state, 'faults.json'), text);
    await expect(create()).rejects.toMatchObject({ type: 'InvalidRequest', message: expect.stringContaining(why) });
    expect(() => provider.capabilities()).toThrow(why);
    expect(memory.calls).toEqual([]);
    expect((await provider.check(soon())).ok).toBe(false);
  });

  it('is good again when it is mended', async () => {
    writeFileSync(join(state, 'faults.json'), '{');
    expect(await outcome(create())).toBe('InvalidRequest');
    turn();
    expect(await outcome(create())).toBe('ok');
  });
});

describe('a script', () => {
  const told = (rule: Rule, calls: number): string =>
    Array.from({ length: calls }, (_, n) => (strikes(rule, n + 1) ? 'x' : '.')).join('');

  it.each([
    [{}, 'xxxxxxxxxx'],
    [{ count: 2 }, 'xx........'],
    [{ skip: 2, count: 1 }, '..x.......'],
    [{ count: 1, of: 4 }, 'x...x...x.'],
    [{ skip: 1, count: 2, of: 4 }, '.xx..xx..x'],
  ])('%o strikes %s', (which, says) => {
    expect(told({ fault: 'serverError', verb: 'get', ...which }, 10)).toBe(says);
  });

  it('with a rate strikes as often, in an order that the seed decides', () => {
    const rule = (seed: number): Rule => ({ fault: 'serverError', verb: 'get', rate: 0.3, seed });
    const said = told(rule(1), 1_000);
    expect(told(rule(1), 1_000)).toBe(said);
    expect(told(rule(2), 1_000)).not.toBe(said);
    expect(said.replaceAll('.', '').length).toBeGreaterThan(250);
    expect(said.replaceAll('.', '').length).toBeLessThan(350);
  });

  it('counts on over a restart, and apart for another verb, label or copy of the rule', async () => {
    const third = { fault: 'serverError', verb: 'create', skip: 2, count: 1 };
    turn(third);
    expect(await outcome(create())).toBe('ok');
    expect(await outcome(create('a', through()))).toBe('ok');
    expect(await outcome(provider.list('ours', soon()))).toBe('ok');
    expect(await outcome(create('a', through()))).toBe('ProviderUnavailable');
    expect(await outcome(create())).toBe('ok');
    turn({ ...third, label: 'again' }, { ...third, label: 'again' });
    expect(await outcome(create())).toBe('ok');
    expect(await outcome(create())).toBe('ok');
    expect(await outcome(create())).toBe('ProviderUnavailable');
  });

  it('counts exactly when several processes call at once, and some are killed with -9', async () => {
    const path = join(state, 'count');
    const module = fileURLToPath(new URL('../../dist/providers/faults/call-count.js', import.meta.url));
    const each = 200;
    const count = (calls: number): string =>
      `const { countCall } = await import(${JSON.stringify(module)});` +
      `for (let n = 0; n < ${calls}; n += 1) console.log(countCall(${JSON.stringify(path)}));`;
    const started = Array.from({ length: 4 }, () => counting(count(each)));
    const doomed = counting(count(1_000_000));
    await doomed.said;
    doomed.kill();
    const all = await Promise.all([...started, doomed].map(({ ended }) => ended));
    const numbers = all.flat();
    expect(new Set(numbers).size).toBe(numbers.length);
    // The killed one may have counted a call whose number it never said.
    expect(countCall(path) - 1 - numbers.length).toBeLessThanOrEqual(1);
  });
});

/** A process that says numbers. */
function counting(script: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => (text += String(chunk)));
  return {
    said: new Promise((resolve) => child.stdout.once('data', resolve)),
    kill: () => child.kill('SIGKILL'),
    ended: new Promise<readonly number[]>((resolve) => {
      child.once('close', () => resolve(text.slice(0, text.lastIndexOf('\n')).split('\n').map(Number)));
    }),
  };
}

describe('a fault', () => {
  it('lostResponse has the effect and loses the answer', async () => {
    turn({ fault: 'lostResponse', verb: 'create', count: 1 });
    expect(await outcome(create())).toBe('ProviderUnavailable');
    expect(memory.machines.size).toBe(1);
    expect(await create()).toEqual({ id: 'm1' });
    expect(struck()).toEqual(['lostResponse create']);
  });

  it('rateLimited says how long to wait, without an effect', async () => {
    turn({ fault: 'rateLimited', verb: ['create', 'get'], retryAfterMs: 70, count: 1 });
    await expect(create()).rejects.toMatchObject({ type: 'RateLimited', retryAfterMs: 70 });
    expect(memory.machines.size).toBe(0);
  });

  it('failure is of any type, before the effect or after it', async () => {
    turn({ fault: 'failure', verb: 'create', type: 'QuotaExceeded', when: 'before', count: 1 });
    expect(await outcome(create())).toBe('QuotaExceeded');
    expect(memory.machines.size).toBe(0);
    turn({ fault: 'failure', verb: 'create', type: 'CapacityUnavailable', when: 'after', count: 1 });
    expect(await outcome(create())).toBe('CapacityUnavailable');
    expect(memory.machines.size).toBe(1);
  });

  it('reset answers at once, and the effect comes later; a look has none', async () => {
    turn({ fault: 'reset', verb: ['create', 'get'], lateMs: 30, count: 1 });
    expect(await outcome(create())).toBe('ProviderUnavailable');
    expect(memory.machines.size).toBe(0);
    expect(provider.capabilities().settleMs).toBeGreaterThanOrEqual(30);
    const closing = provider.close();
    await expect(closing).rejects.toThrow('1 machines are left');
    turn({ fault: 'reset', verb: 'get', count: 1 });
    const looks = memory.calls.length;
    expect(await outcome(provider.get({ id: 'm1' }, soon()))).toBe('ProviderUnavailable');
    expect(memory.calls.length).toBe(looks);
  });

  it('slow delays the answer, not the effect, and obeys its caller', async () => {
    turn({ fault: 'slow', verb: 'create', delayMs: 60_000 });
    const abort = new AbortController();
    const call = provider.create('a', spec, tags('a'), abort.signal);
    while (memory.machines.size === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    abort.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    turn({ fault: 'slow', verb: 'get', delayMs: 1 });
    expect((await provider.get({ id: 'm1' }, soon())).state).toBe('running');
  });

  it('duplicate delivers a call twice', async () => {
    turn({ fault: 'duplicate', verb: 'create' });
    await create();
    expect(memory.calls).toEqual(['create', 'create']);
    expect(memory.machines.size).toBe(1);
  });

  it('notVisibleYet hides a machine from get and findByKey for its time, in every process', async () => {
    turn({ fault: 'notVisibleYet', forMs: 60_000, count: 1 });
    const ref = await create();
    expect(provider.capabilities().settleMs).toBe(60_000);
    for (const by of [provider, through()]) {
      expect(await by.findByKey('a', soon())).toBeUndefined();
      expect(await by.get(ref, soon())).toEqual({ state: 'absent' });
    }
    const other = await create('b');
    expect((await provider.get(other, soon())).state).toBe('running');
    turn({ fault: 'notVisibleYet', forMs: 1, count: 1, label: 'short' });
    const third = await create('c');
    await expect.poll(async () => (await provider.get(third, soon())).state).toBe('running');
    // What it was told stays so when the rule has gone.
    turn();
    expect(await provider.get(ref, soon())).toEqual({ state: 'absent' });
    expect(provider.capabilities().settleMs).toBeGreaterThan(30_000);
  });

  it('listLag leaves out what is young', async () => {
    await create();
    turn({ fault: 'listLag', forMs: 60_000, count: 1 });
    expect(provider.capabilities().settleMs).toBe(60_000);
    expect(await provider.list('ours', soon())).toEqual([]);
    expect(await provider.list('ours', soon())).toHaveLength(1);
    expect(struck()).toEqual(['listLag list']);
  });

  it('lyingDestroy says done and does nothing, as often as asked', async () => {
    const ref = await create();
    turn({ fault: 'lyingDestroy', count: 2 });
    for (const left of [1, 1, 0]) {
      await provider.destroy(ref, soon());
      expect(memory.machines.size).toBe(left);
    }
    expect(struck()).toEqual(['lyingDestroy destroy', 'lyingDestroy destroy']);
  });

  it('stuckDestroying keeps it destroying, and no destroy helps, until the rule goes', async () => {
    const ref = await create();
    turn({ fault: 'stuckDestroying', count: 1 });
    for (let n = 0; n < 2; n += 1) {
      await provider.destroy(ref, soon());
      expect((await provider.get(ref, soon())).state).toBe('destroying');
      expect((await through().list('ours', soon()))[0]?.state).toBe('destroying');
    }
    turn();
    expect((await provider.get(ref, soon())).state).toBe('running');
    await provider.destroy(ref, soon());
    expect((await provider.get(ref, soon())).state).toBe('absent');
    expect(struck()).toEqual(['stuckDestroying destroy', 'stuckDestroying get']);
  });

  it('stuckDestroying for a time ends by itself', async () => {
    const ref = await create();
    turn({ fault: 'stuckDestroying', forMs: 1, count: 1 });
    await provider.destroy(ref, soon());
    await expect.poll(async () => (await provider.get(ref, soon())).state).toBe('running');
    await provider.destroy(ref, soon());
    expect(memory.machines.size).toBe(0);
  });

  it('forgetKeys makes a machine of each create, and says so; what was made is found after it', async () => {
    turn({ fault: 'forgetKeys' });
    expect(provider.capabilities().idempotentCreate).toBe('none');
    const [first, second] = [await create(), await create()];
    expect(second).not.toEqual(first);
    expect((await provider.list('ours', soon())).map(({ key }) => key)).toEqual(['a', 'a']);
    turn();
    expect(provider.capabilities().idempotentCreate).toBe('token');
    const later = through();
    expect(await create('a', later)).toEqual(first);
    for (const ref of [first, second]) {
      expect(await later.findByKey('a', soon())).toEqual(ref);
      await later.destroy(ref, soon());
    }
    expect(await later.findByKey('a', soon())).toBeUndefined();
  });

  it('detour names another way in, for the same machines in every process', async () => {
    const refs = await Promise.all(Array.from({ length: 40 }, (_, n) => create(`k${n}`)));
    turn({ fault: 'detour', port: 2_022, rate: 0.5, seed: 3 });
    const ports = async (by: Provider): Promise<readonly (number | undefined)[]> =>
      Promise.all(refs.map(async (ref) => (await by.get(ref, soon())).access?.port));
    const first = await ports(provider);
    expect(new Set(first)).toEqual(new Set([22, 2_022]));
    expect(await ports(through())).toEqual(first);
    turn({ fault: 'detour', address: '127.0.0.9' });
    expect((await provider.get(refs[0] ?? {}, soon())).access).toMatchObject({ address: '127.0.0.9', port: 22 });
  });

  it('is shown by a check', async () => {
    turn({ fault: 'duplicate', verb: 'get' });
    expect((await provider.check(soon())).items).toEqual([
      { name: 'injected faults', ok: true, text: `duplicate: by ${join(state, 'faults.json')}` },
    ]);
  });
});

it('a chance is even', () => {
  const rule: Rule = { fault: 'detour' };
  const below = Array.from({ length: 1_000 }, (_, n) => chance(rule, String(n))).filter((value) => value < 0.5).length;
  expect(Math.abs(below - 500)).toBeLessThan(60);
});
