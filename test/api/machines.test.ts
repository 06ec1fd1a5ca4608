import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freshId, startApiBench, type ApiBench } from './api-bench.ts';

vi.setConfig({ testTimeout: 60_000 });

/** A machine of a lease that is ready. */
async function ready({ ask }: ApiBench): Promise<string> {
  const lease = freshId();
  await ask(`/v1/leases/${lease}`, { method: 'PUT', body: JSON.stringify({ bundle: 'hello' }) });
  await ask(`/v1/leases/${lease}?wait=ready`);
  return `${lease}.1`;
}

let bench: ApiBench;
let machine: string;
beforeAll(async () => {
  bench = await startApiBench();
  machine = await ready(bench);
});
afterAll(() => bench.stop());

const json = async (path: string, body?: object): Promise<unknown> =>
  (await bench.ask(path, body && { method: 'POST', body: JSON.stringify(body) })).json();
const power = (id: string, body: object) => json(`/v1/machines/${id}/power`, body);

describe('the power of a machine', () => {
  it('is asked for in the name of the caller, and seen with how its provider says that it stands', async () => {
    expect(await json(`/v1/machines/${machine}`)).toMatchObject({ phase: 'ready', seen: 'running' });
    bench.provider.state = 'stopped';
    expect(await power(machine, { action: 'off' })).toMatchObject({
      seen: 'stopped',
      power: { action: 'off', by: 'tester' },
    });
    bench.provider.state = 'running';
    expect(await json(`/v1/machines/${machine}`)).toMatchObject({ seen: 'running', power: { action: 'off' } });
    expect(bench.world.powers).toEqual([`${machine} off`]);
  });

  it('is refused for what is no such thing, and for a machine that is none', async () => {
    expect(await power(machine, { action: 'halt' })).toMatchObject({ type: 'InvalidRequest', status: 400 });
    expect(await power(machine, { action: 'off', by: 'ana' })).toMatchObject({ type: 'InvalidRequest', status: 400 });
    expect(await power('nobody.1', { action: 'off' })).toMatchObject({ type: 'NotFound' });
  });
});

describe('the console of a machine', () => {
  it('is its end, as it is, and no more than was asked for', async () => {
    bench.provider.console = 'one\ntwo\u001b[2J\n';
    const whole = await bench.ask(`/v1/machines/${machine}/console`);
    expect(whole.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(await whole.text()).toBe('one\ntwo\u001b[2J\n');
    expect(await (await bench.ask(`/v1/machines/${machine}/console?bytes=5`)).text()).toBe('\u001b[2J\n');
    expect(await json(`/v1/machines/${machine}/console?bytes=1048577`)).toMatchObject({ type: 'InvalidRequest' });
    expect(await json('/v1/machines/nobody.1/console')).toMatchObject({ type: 'NotFound' });
  });
});

describe('the user-data of a machine', () => {
  const put = async (body: object) =>
    (await bench.ask(`/v1/machines/${machine}/userdata`, { method: 'PUT', body: JSON.stringify(body) })).json();

  it('is seen without its secrets, and changed with them', async () => {
    expect(await json(`/v1/machines/${machine}/userdata`)).toEqual({ hostname: 'web', password: '(secret)' });
    const changed = { hostname: 'web', password: '(secret)', packages: ['nginx'] };
    expect(await put(changed)).toEqual(changed);
    expect(bench.provider.userData).toBe('#cloud-config\n{"hostname":"web","password":"P","packages":["nginx"]}\n');
    expect(await put({ hostname: 'mine', password: 'Q' })).toMatchObject({
      type: 'InvalidRequest',
      detail: `The user-data of machine ${machine}: hostname is slipway’s to say.`,
    });
    expect(bench.provider.userData).toContain('"packages"');
  });
});

it('a provider without consoles is named, and a machine of one that is not configured is shown all the same', async () => {
  const other = await startApiBench({ provider: () => undefined });
  try {
    const id = await ready(other);
    expect(await (await other.ask(`/v1/machines/${id}/console`)).json()).toMatchObject({
      type: 'InvalidRequest',
      detail: 'Provider fake has no consoles to read.',
      hint: 'no provider here does.',
    });
    expect(await (await other.ask(`/v1/machines/${id}`)).json()).not.toHaveProperty('seen');
  } finally {
    await other.stop();
  }
});
