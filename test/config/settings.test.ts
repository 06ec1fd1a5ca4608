import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { accountOf, accountsOf } from '../../src/config/accounts.ts';
import { checkSettings, keepSettings, readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import { freshFolder } from '../output/store-kit.ts';

async function withSettings(text?: string) {
  const folder = await freshFolder();
  const state = stateFolder(join(folder, '.slipway'));
  const write = (content: string) => writeFile(state.config, content);
  if (text !== undefined) await write(text);
  return { state, write, folder };
}

describe('slipway.yaml', () => {
  it.each([undefined, '', '# nothing yet\n'])('has defaults for all that it does not say: %j', async (text) => {
    const { state } = await withSettings(text);
    expect(await readSettings(state)).toEqual({
      file: state.config,
      secrets: {},
      tokens: {},
      providers: { local: { type: 'local' }, qemu: { type: 'qemu' } },
      saidProviders: [],
      api: { hosts: [] },
      output: { limitBytes: 1_073_741_824, keepDays: 30 },
      sweep: { everyMs: 60_000, graceMs: 30_000 },
      pools: {},
    });
    expect(await checkSettings(state)).toEqual([]);
  });

  it('is read as it stands, with paths from its own folder', async () => {
    const { state, folder } = await withSettings(`secrets:
  token: {file: secrets/token}
  home: {file: ~/token}
  key: {env: KEY}
  vault: {command: [vault, read]}
tokens:
  ci: {file: tokens/ci}
providers:
  fast: {type: local, bootMs: 0}
api: {port: 4900, hosts: [Slipway.Example, '[fd00::1]']}
output: {keepDays: 1}
sweep: {everyMs: 2m}
upgrade: hold
`);
    expect(await readSettings(state)).toEqual({
      file: state.config,
      secrets: {
        token: { file: join(folder, 'secrets/token') },
        home: { file: join(homedir(), 'token') },
        key: { env: 'KEY' },
        vault: { command: ['vault', 'read'] },
      },
      tokens: { ci: { file: join(folder, 'tokens/ci') } },
      providers: { local: { type: 'local' }, qemu: { type: 'qemu' }, fast: { type: 'local', bootMs: 0 } },
      saidProviders: ['fast'],
      api: { port: 4900, hosts: ['slipway.example', '[fd00::1]'] },
      output: { limitBytes: 1_073_741_824, keepDays: 1 },
      sweep: { everyMs: 120_000, graceMs: 30_000 },
      pools: {},
      upgrade: 'hold',
    });
  });

  it('says what accounts allow, and where it contradicts itself', async () => {
    const { state, write } = await withSettings(`providers:
  local: {type: local, quota: {machines: 4, cores: 8, perOwner: {machines: 2}, coolDownMs: 1m}}
  second: {type: local, account: local, rate: {callsPerSecond: 2.5}}
  third: {type: local, account: shared, rate: {callsPerSecond: 0.5, burst: 4}}
`);
    const quota = { machines: 4, cores: 8, perOwner: { machines: 2 }, coolDownMs: 60_000 };
    const { providers } = await readSettings(state);
    expect(accountsOf(providers)).toEqual([
      { name: 'local', providers: ['local', 'second'], quota, rate: { callsPerSecond: 2.5, burst: 2 } },
      { name: 'shared', providers: ['third'], rate: { callsPerSecond: 0.5, burst: 4 } },
    ]);
    expect(accountOf(providers, 'second')?.quota).toEqual(quota);
    await write(`providers:
  local: {type: local, quota: {machine: 4, cores: -1, perOwner: {perOwner: {}}}, rate: {burst: 0}}
`);
    expect((await checkSettings(state)).map(mistakeText)).toEqual([
      'slipway.yaml:2:32 providers.local.quota: unknown key `machine`; did you mean machines?',
      'slipway.yaml:2:51 providers.local.quota.cores: must be at least 0',
      'slipway.yaml:2:66 providers.local.quota.perOwner: unknown key `perOwner`',
      'slipway.yaml:2:88 providers.local.rate.callsPerSecond: is missing; expected a number',
      'slipway.yaml:2:96 providers.local.rate.burst: must be at least 1',
    ]);
    await write(`providers:
  one: {type: local, account: shared, quota: {machines: 4}}
  two: {type: local, account: shared, quota: {machines: 4}}
  three: {type: local, account: shared, quota: {machines: 5}}
`);
    expect((await checkSettings(state)).map(mistakeText)).toEqual([
      'slipway.yaml:4:48 providers.three.quota: account shared has another quota by provider one; say it once',
    ]);
  });

  it('is followed when it changes; a broken one leaves the last good version in force', async () => {
    const { state, write } = await withSettings('api: {port: 1}');
    expect((await readSettings(state)).api.port).toBe(1);
    await write('api: {port: 2}');
    expect((await readSettings(state)).api.port).toBe(2);
    await write('api: {port: x}');
    expect((await readSettings(state)).api.port).toBe(2);
    expect((await checkSettings(state)).map(mistakeText)).toEqual([
      'slipway.yaml:1:13 api.port: expected a number, found text',
    ]);
    await rm(state.config);
    expect((await readSettings(state)).api).toEqual({ hosts: [] });
  });

  it('with mistakes leaves its last good version in force for a process that starts then, once that was kept', async () => {
    const { state, write } = await withSettings('api: {port: 1}\nsecrets: {a: {file: x}}');
    await mkdir(state.root);
    await keepSettings(state);
    await write('api: {port: x}');
    await keepSettings(state);
    // Another process remembers nothing of this one's.
    vi.resetModules();
    const other = await import('../../src/config/settings.ts');
    expect(await other.readSettings(state)).toMatchObject({
      api: { port: 1 },
      secrets: { a: { file: join(dirname(state.config), 'x') } },
    });
    expect(await other.checkSettings(state)).toHaveLength(1);
    await expect(other.refuseMistakes(state)).rejects.toMatchObject({ type: 'InvalidRequest' });
  });

  it('is refused with all mistakes at once when it was never good, and shows nothing of what may be a secret', async () => {
    const { state } = await withSettings(`secrets:
  a: hunter2
  b: 31337
  c: {file: x, env: Y}
  d: {command: hunter2 hunter3}
  e: {env: 31337}
provider: {}
api: {port: 99999}
tokens:
  ci: hunter2
  unknown: {file: x}
`);
    const failure = await readSettings(state).catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ type: 'InvalidRequest' });
    expect((await checkSettings(state)).map(mistakeText)).toEqual([
      'slipway.yaml:2:6 secrets.a: expected a map, found text',
      'slipway.yaml:3:6 secrets.b: expected a map, found the number',
      'slipway.yaml:4:6 secrets.c: needs one of `file`, `env` and `command`',
      'slipway.yaml:5:16 secrets.d.command: expected a list of words, found text',
      'slipway.yaml:6:12 secrets.e.env: expected text, found the number',
      'slipway.yaml:7:1 unknown key `provider`; did you mean providers?',
      'slipway.yaml:8:13 api.port: must be at most 65535',
      'slipway.yaml:10:7 tokens.ci: expected a map, found text',
      'slipway.yaml:11:3 tokens: key `unknown` is the owner of leases that nobody’s token started',
    ]);
    expect(JSON.stringify([(failure as Error).message, failure])).not.toMatch(/hunter|31337/);
  });

  it('declares pools, with durations and schedules', async () => {
    const { state } = await withSettings(`pools:
  web:
    bundle: web-server
    target: 2
    ceiling: 8
    idleMs: 6h
    maxUses: 20
    schedule:
      - {cron: 0 8 * * 1-5, timezone: Europe/Berlin, forMs: 10h, target: 6}
      - {cron: 0 20 * * 5, until: 0 6 * * 1, target: 0}
`);
    expect((await readSettings(state)).pools).toEqual({
      web: {
        bundle: 'web-server',
        target: 2,
        ceiling: 8,
        idleMs: 21_600_000,
        maxUses: 20,
        schedule: [
          { cron: '0 8 * * 1-5', timezone: 'Europe/Berlin', forMs: 36_000_000, target: 6 },
          { cron: '0 20 * * 5', until: '0 6 * * 1', target: 0 },
        ],
      },
    });
  });

  it('refuses pools that cannot be: each mistake at its place', async () => {
    const { state } = await withSettings(`pools:
  web:
    bundle: web
    target: 9
    ceiling: 5
    schedule:
      - {cron: 61 * * * *, forMs: 1h, target: 6}
      - {cron: 0 8 * * *, until: soon, timezone: Mars/Olympus, target: 1}
      - {cron: 0 8 * * *, target: 1}
      - {cron: 0 8 * * *, forMs: 1h, until: 0 9 * * *, target: 1}
  spare: {bundle: web, target: 0, ceiling: 1}
  A b: {bundle: web, target: 0, ceiling: 1, maxUses: 0}
  huge: {bundle: huge, target: 0, ceiling: 501}
`);
    expect((await checkSettings(state)).map(mistakeText)).toEqual([
      'slipway.yaml:4:13 pools.web.target: 9 machines are more than the ceiling of 5',
      'slipway.yaml:7:16 pools.web.schedule[0].cron: Invalid value for minute: 61 (minute hour day month weekday, such as 0 8 * * 1-5)',
      'slipway.yaml:7:47 pools.web.schedule[0].target: 6 machines are more than the ceiling of 5',
      expect.stringMatching(/^slipway.yaml:8:34 pools.web.schedule\[1\].until: /),
      'slipway.yaml:8:50 pools.web.schedule[1].timezone: Mars/Olympus is no time zone (IANA names, such as Europe/Berlin)',
      'slipway.yaml:9:9 pools.web.schedule[2]: needs one of `forMs` and `until`',
      'slipway.yaml:10:9 pools.web.schedule[3]: needs one of `forMs` and `until`',
      'slipway.yaml:11:19 pools.spare.bundle: pool web keeps machines of bundle web already: a lease could not tell which to ask',
      expect.stringContaining('slipway.yaml:12:3 pools: key `A b` '),
      'slipway.yaml:13:44 pools.huge.ceiling: must be at most 500',
    ]);
  });
});
