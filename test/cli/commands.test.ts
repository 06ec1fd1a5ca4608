import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshId } from '../api/api-bench.ts';
import { startCliBench } from './cli-bench.ts';
import type { CliBench } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => (cli = await startCliBench()));
afterAll(() => cli.stop());

const json = async (args: readonly string[]): Promise<Record<string, unknown>> =>
  JSON.parse((await cli.run([...args, '--json'])).stdout) as Record<string, unknown>;

describe('a lease', () => {
  it('tells its dispatcher when both the URL and the secret are said, and shows how that went', async () => {
    const id = freshId();
    const create = ['lease', 'create', '--bundle', 'hello', '--id', id];
    const one = await cli.run([...create, '--notify', 'https://ci.example.com/hook']);
    expect(one).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--notify and --notify-secret go together') as string,
    });
    const wrong = await cli.run([...create, '--notify', 'ci.example.com', '--notify-secret', 'hook']);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('must be an http or https URL') as string });
    expect(
      await cli.run([...create, '--notify', 'https://ci.example.com/hook', '--notify-secret', 'hook']),
    ).toMatchObject({
      code: 0,
      stdout: `${id}\n`,
    });
    await expect
      .poll(async () => (await cli.run(['lease', 'show', id])).stdout)
      .toMatch(/^ {2}notify {4}https:\/\/ci\.example\.com · ready told \d\d:\d\d:\d\d$/m);
    expect(await json(['lease', 'show', id])).toMatchObject({
      notify: { to: 'https://ci.example.com', ready: { state: 'sent' } },
    });
    await cli.run(['lease', 'release', id, '--wait']);
  });

  it('is created, listed, shown, extended and released', async () => {
    const id = freshId();
    const created = await cli.run([
      'lease',
      'create',
      '--bundle',
      'hello',
      '--id',
      id,
      '--meta',
      'team=red',
      '--priority',
      '-3',
    ]);
    expect(created).toMatchObject({ code: 0, stdout: `${id}\n` });
    expect(created.stderr).toContain('✔ ready · root@127.77.0.1 port 22 · key ');
    await expect
      .poll(async () => (await cli.run(['lease', 'list'])).stdout)
      .toMatch(new RegExp(`${id} +hello +ready +${id}\\.1 `));
    expect((await cli.run(['lease', 'list'])).stdout).toMatch(
      /^LEASE +BUNDLE +STATE +MACHINE +AGE +EXPIRES +OWNER +TASKS\n/,
    );
    expect((await cli.run(['lease', 'list', '--owner', 'tester'])).stdout).toContain(id);
    expect((await cli.run(['lease', 'list', '--owner', 'ana'])).stdout).not.toContain(id);
    const shown = await cli.run(['lease', 'show', id]);
    expect(shown.stdout).toContain(' · owner tester');
    expect(shown.stdout).toMatch(new RegExp(`^${id} · hello@dddddd · ready · expires `));
    expect(shown.stdout).toContain(`machine   ${id}.1 · fake · ready · 127.77.0.1:22`);
    expect(await json(['lease', 'show', id])).toMatchObject({ leaseId: id, metadata: { team: 'red' } });
    expect((await cli.run(['lease', 'extend', id, '--by', '30m'])).code).toBe(0);
    expect(await cli.run(['lease', 'extend', id])).toMatchObject({ code: 2 });
    expect(await cli.run(['lease', 'extend', id, '--by', '30d'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('at most') as string,
    });
    const task = await cli.run(['task', 'run', '--id', 'build', id, '--', 'make', '-j4']);
    expect(task).toMatchObject({ code: 0 });
    expect((await cli.run(['task', 'list', id])).stdout).toMatch(/build +exited +exit 0 .*make -j4/);
    expect((await cli.run(['task', 'show', `${id}/build`])).stdout).toContain('exit 0');
    expect((await cli.run(['machine', 'list'])).stdout).toContain(`${id}.1`);
    expect((await cli.run(['machine', 'show', `${id}.1`])).stdout).toContain('owes      machine');
    const released = await cli.run(['lease', 'release', id, '--wait']);
    expect(released).toMatchObject({ code: 0, stdout: `${id} · released · machine seen gone\n` });
    expect((await cli.run(['lease', 'wait', id])).code).toBe(3);
    // A dispatcher that asks once more must not take it for a machine.
    const again = ['lease', 'create', '--bundle', 'hello', '--id', id, '--meta', 'team=red', '--priority', '-3'];
    expect(await cli.run(again)).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringContaining(`✗ Lease ${id} is released.`) as string,
    });
    expect((await cli.run(['lease', 'extend', id, '--by', '1h'])).code).toBe(3);
  });

  it('takes parameters of its bundle, each once', async () => {
    const id = freshId();
    const flags = ['lease', 'create', '--bundle', 'hello', '--id', id, '-p', 'size=large', '--param', 'note=a=b'];
    expect((await cli.run(flags)).code).toBe(0);
    expect(await json(['lease', 'show', id])).toMatchObject({ parameters: { size: 'large', note: 'a=b' } });
    expect((await cli.run(['lease', 'show', id])).stdout).toContain('with      size=large note=a=b');
    expect(await cli.run([...flags, '-p', 'size=small'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--param size is given twice.') as string,
    });
    expect(await cli.run([...flags, '-p', 'Size=small'])).toMatchObject({ code: 2 });
    await cli.run(['lease', 'release', id, '--wait']);
  });

  it('of a bundle whose file has mistakes says so', async () => {
    const id = freshId();
    const create = ['lease', 'create', '--bundle', 'broken', '--id', id];
    const told = 'Bundle broken: Its file has mistakes (broken.yaml:1:1 x). · slipway bundle check';
    expect(await cli.run([...create, '--no-wait'])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(told) as string,
    });
    const other = freshId();
    expect(await json(['lease', 'create', '--bundle', 'broken', '--id', other, '--no-wait'])).toMatchObject({
      bundle: { notice: 'Its file has mistakes (broken.yaml:1:1 x).' },
    });
    for (const each of [id, other]) await cli.run(['lease', 'cancel', each, '--wait']);
  });

  it('that is waited for too long exits 7', async () => {
    const id = freshId();
    cli.api.world.hold('awaitAccessible');
    expect((await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id, '--wait-timeout', '300ms'])).code).toBe(
      7,
    );
    expect((await cli.run(['lease', 'wait', id, '--wait-timeout', '100ms'])).code).toBe(7);
    cli.api.world.letGo('awaitAccessible');
    expect((await cli.run(['lease', 'wait', id])).code).toBe(0);
    expect((await cli.run(['lease', 'cancel', id, '--wait'])).stdout).toContain('cancelled');
  });

  it('that does not exist exits 3, a taken id 5, a wrong token 4', async () => {
    expect(await cli.run(['lease', 'show', 'nope'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('✗ There is no lease nope.') as string,
    });
    expect(await json(['lease', 'show', 'nope'])).toMatchObject({ error: { type: 'NotFound' } });
    const id = freshId();
    await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id]);
    expect((await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id, '--ttl', '1h'])).code).toBe(5);
    expect((await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id])).code).toBe(0);
    await cli.run(['lease', 'cancel', id]);
    expect((await cli.run(['lease', 'list'], { env: { SLIPWAY_TOKEN_FILE: '/nowhere' } })).code).toBe(4);
  });

  it('whose bundle asks for it is marked ready by a person', async () => {
    const before = cli.api.world.plan;
    cli.api.world.plan = { ...before, gate: 'manual' };
    const id = freshId();
    expect((await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id, '--no-wait'])).stdout).toBe(`${id}\n`);
    await expect.poll(async () => (await json(['machine', 'show', `${id}.1`]))['phase']).toBe('readying');
    expect((await cli.run(['lease', 'ready', id])).code).toBe(0);
    expect((await cli.run(['lease', 'wait', id])).code).toBe(0);
    cli.api.world.plan = before;
    await cli.run(['lease', 'release', id, '--wait']);
  });
});

describe('the operator', () => {
  it('checks providers and bundles, and sweeps', async () => {
    expect((await cli.run(['provider', 'check'])).stdout).toContain('✔ fake · in memory');
    expect((await cli.run(['provider', 'list'])).stdout).toMatch(
      /^PROVIDER +STATE +ABILITIES +SUMMARY\nfake +ready +reload +in memory\n$/,
    );
    expect((await cli.run(['bundle', 'list'])).stdout).toMatch(/hello +fake +good/);
    expect((await cli.run(['bundle', 'check'])).stdout).toBe('1 bundle is good.\n');
    const shown = await cli.run(['bundle', 'show', 'hello']);
    expect(shown.stdout.split('\n')).toEqual([
      'hello · A greeting',
      '  file       hello.yaml',
      '  parameters size  enum (small, large) · default "small" · How much',
      '  variants   fake · size ${size}',
      '  ready      manual',
      '',
    ]);
    expect((await cli.run(['bundle', 'list'])).stderr).toBe('');
    expect(await json(['bundle', 'show', 'hello'])).toMatchObject({ name: 'hello', parameters: [{ name: 'size' }] });
    expect((await cli.run(['sweep'])).stdout).toContain('No orphans · 0 owned · looked at fake');
    expect(await json(['sweep', '--reclaim'])).toEqual(cli.api.world.inventory);
  });

  it('shows what a sweep found, and fails where a provider gave no inventory', async () => {
    const { world } = cli.api;
    const nothing = world.inventory;
    const found = { provider: 'fake', key: 'k1', state: 'running', createdAt: '2026-01-01T00:00:00.000Z' };
    world.inventory = {
      ...nothing,
      orphans: [{ ...found, machineId: 'lost.1', kind: 'machine', reclaimed: false }],
      forgotten: [{ ...found, machineId: 'old.1', kind: 'machine', reason: 'the account was closed' }],
    };
    const some = await cli.run(['sweep']);
    expect(some).toMatchObject({ code: 0, stderr: '  slipway sweep --reclaim\n' });
    expect(some.stdout).toMatch(
      /^MACHINE +PROVIDER +KIND +STATE +AGE +KEY\nlost\.1 +fake +machine +running .* orphan\n/,
    );
    expect(some.stdout).toMatch(/old\.1 .* forgotten: the account was closed\n$/);
    const reason = { type: 'RateLimited', message: 'too many calls' } as const;
    world.inventory = { ...nothing, failures: [{ provider: 'fake', reason }] };
    const none = await cli.run(['sweep']);
    expect(none).toMatchObject({ code: 6 });
    expect(none.stderr).toContain('✗ fake gave no inventory: too many calls (RateLimited)');
    world.inventory = nothing;
  });

  it('lists what is stuck, and gives it up only for a reason and with --yes', async () => {
    const { world } = cli.api;
    const before = world.tuning;
    world.tuning = { ...before, reclaimWithinMs: 300, stuckRetryMs: 300 };
    world.destroyable = 'now';
    const id = freshId();
    await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id]);
    const forget = (...more: string[]) => cli.run(['machine', 'forget', `${id}.1`, ...more]);
    const early = await forget('--reason', 'I do not like it', '--yes');
    expect(early).toMatchObject({ code: 2, stderr: expect.stringContaining('is ready, not stuck') as string });
    await cli.run(['lease', 'release', id]);
    await expect
      .poll(async () => (await cli.run(['machine', 'list', '--stuck'])).stdout, { timeout: 20_000 })
      .toMatch(new RegExp(`${id}\\.1 +${id} +fake +stuck `));
    expect((await cli.run(['lease', 'show', id])).stdout).toContain('stuck');
    expect(await forget()).toMatchObject({ code: 2, stderr: expect.stringContaining('--reason') as string });
    expect(await forget('--reason', ' ', '--yes')).toMatchObject({ code: 2 });
    const asked = await forget('--reason', 'the account was closed');
    expect(asked).toMatchObject({ code: 2, stdout: '' });
    expect(asked.stderr).toMatch(/Nothing was done\. .* is stuck and owes machine [0-9a-f]{40}\./);
    expect((await forget('--reason', 'the account was closed', '--yes')).stdout).toContain(
      'is forgotten. It owed machine',
    );
    const shown = await cli.run(['machine', 'show', `${id}.1`]);
    expect(shown.stdout).toContain('  forgotten the account was closed\n');
    expect(shown.stdout).toContain('owes      machine');
    expect(await forget('--reason', 'again', '--yes')).toMatchObject({ code: 3 });
    await expect
      .poll(async () => (await cli.run(['machine', 'list', '--stuck'])).stderr)
      .toContain('No machine is stuck');
    await expect.poll(async () => (await cli.run(['machine', 'list', '--all'])).stdout).toMatch(/ forgotten /);
    expect(await cli.run(['machine', 'forget', 'nope.1', '--reason', 'x', '--yes'])).toMatchObject({ code: 3 });
    world.destroyable = true;
    world.tuning = before;
  });

  it('shows the ledger', async () => {
    const shown = await cli.run(['ledger']);
    expect(shown.stdout).toMatch(
      /^PROVIDER +OWNED +ORPHANED +STUCK +FORGOTTEN +OLDEST +RECLAIMED +LOOKED\nfake +0 +0 +0 +0 +– +0 +not yet\n$/,
    );
    const line = (JSON.parse((await cli.run(['ledger', '--json'])).stdout) as unknown[])[0];
    expect(line).toEqual({ provider: 'fake', owned: 0, orphaned: 0, stuck: 0, forgotten: 0, reclaimed: 0 });
  });
});
