import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { checkHost } from '../../src/providers/local/host-check.ts';
import { onStack } from '../cli/on-stack.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

/** Its guest looks as if it had cloud-init. */
const broken = `files:
  - path: /usr/local/bin/cloud-init
    mode: '0755'
    text: |
      #!/bin/sh
      echo "status: error ($*)"
  - {path: /var/log/cloud-init-output.log, text: "\\u001b[31mmodule failed\\n"}
commands:
  - {shell: 'echo all is well'}
  - {shell: 'echo no such package >&2; exit 100'}
`;

const tier = process.env['SLIPWAY_TEST_TIER'] ?? checkHost(undefined).tier;
let stack: TestStack;
beforeAll(async () => {
  const bare = 'variants: [{provider: local}]\n';
  stack = await startTestStack({ bundles: { bare, broken: bare + broken } });
});
afterAll(() => stack.stop());

const slipway = async (...args: readonly string[]) => (await onStack(stack, args)).ended;

const running = (lease: string, shell: string) => stack.runTask(lease, 'job', { command: { shell } });
const shown = async (machine: string) => (await slipway('machine', 'show', machine)).out;

describe('a leased machine', () => {
  it('that is switched off keeps its lease and its disk, and its task is lost when it is on again', async () => {
    const lease = freshId('off');
    const machine = `${lease}.1`;
    await stack.create({ leaseId: lease, bundle: 'bare' });
    await stack.wait(lease, 'ready');
    await running(lease, 'echo kept >~/kept; echo begun; sleep 600');
    await until('it runs', async () => (await stack.output(lease, 'job', 'stdout')).length > 0);
    const off = await slipway('machine', 'power', machine, 'off');
    expect(off).toMatchObject({ code: 0 });
    expect(off.out).toMatch(/^off-\w+\.1 · stopped at local · switched off by \S+ \d\d:\d\d:\d\d\n$/);
    expect(await shown(machine)).toContain('  power     stopped at local · switched off by');
    expect((await stack.get(lease)).state).toBe('working');
    expect(await slipway('lease', 'ssh', lease, '--', 'true')).toMatchObject({
      code: 125,
      err: expect.stringMatching(
        new RegExp(`Machine ${machine} of lease ${lease} is switched off\\..*slipway machine power ${machine} on`, 's'),
      ) as string,
    });
    expect((await slipway('machine', 'power', machine, 'on')).out).toContain('running at local · switched on by');
    const { result } = await stack.follow(lease);
    expect(result).toMatchObject({ state: 'lost', exitCode: null });
    await stack.runTask(lease, 'look', { command: { shell: 'cat ~/kept' } });
    expect((await stack.follow(lease, 'look')).out.toString()).toBe('kept\n');
    await stack.post(`/v1/leases/${lease}/release`);
    expect(await stack.wait(lease, 'gone')).toMatchObject({ state: 'released' });
    expect(await slipway('machine', 'power', machine, 'on')).toMatchObject({ code: 3 });
  });

  it('that is reset has booted again, which its task says', async () => {
    const lease = freshId('reset');
    await stack.create({ leaseId: lease, bundle: 'bare' });
    await stack.wait(lease, 'ready');
    await running(lease, 'echo begun; sleep 600');
    await until('it runs', async () => (await stack.output(lease, 'job', 'stdout')).length > 0);
    expect((await slipway('machine', 'power', `${lease}.1`, 'reset')).out).toContain('running at local · reset by');
    const { result } = await stack.follow(lease);
    expect(result).toMatchObject({ state: 'lost', exitCode: null });
    if (tier !== 'plain') expect(result?.reason).toContain('rebooted');
    await stack.post(`/v1/leases/${lease}/release`);
    await stack.wait(lease, 'gone');
  });

  it('has a console, and what is asked of its power otherwise is refused', async () => {
    const lease = freshId('console');
    await stack.create({ leaseId: lease, bundle: 'bare' });
    await stack.wait(lease, 'ready');
    const console = await slipway('machine', 'console', `${lease}.1`);
    expect(console.code).toBe(0);
    if (tier !== 'plain') expect(console.out).toMatch(/Z boots\n$/);
    const { code, err } = await slipway('machine', 'power', `${lease}.1`, 'halt');
    expect(code).toBe(2);
    expect(err).toContain('on, off, reset');
    await stack.post(`/v1/leases/${lease}/release`);
    await stack.wait(lease, 'gone');
  });
});

// What looks like cloud-init is put where only a machine with a root of its own has a folder of its own.
describe.skipIf(tier !== 'root')('a machine that fails', () => {
  const why = async (lease: string) => {
    const { code, out, err } = await slipway('lease', 'show', lease, '--why');
    expect(code).toBe(0);
    return { out, err };
  };

  it('is asked why before it goes, and what it said is kept with its lease', async () => {
    const lease = freshId('why');
    await stack.create({ leaseId: lease, bundle: 'broken', attempts: 1 });
    const { attempts } = await stack.wait(lease, 'gone');
    expect(attempts).toMatchObject([
      {
        phase: 'gone',
        failedStep: { exitCode: 100 },
        evidence: [{ what: 'console' }, { what: 'cloudInit' }, { what: 'step' }],
      },
    ]);
    const { err } = await why(lease);
    expect(err).toContain('its last lines:\n      no such package\n');
    expect(err).toContain('cloud-init:\n      status: error (status --long)\n      \n      module failed\n');
    expect(err).toMatch(/its console:\n {6}\S+Z boots\n/);
    const json = JSON.parse((await slipway('lease', 'show', lease, '--why', '--json')).out) as { why: unknown };
    expect(json.why).toMatchObject([
      { machineId: `${lease}.1`, evidence: { what: 'console' } },
      { evidence: { what: 'cloudInit' }, text: 'status: error (status --long)\n\n\u001b[31mmodule failed\n' },
    ]);
  });

  it('and is kept for a look says why at once, lets its lease in, and goes when its time is over', async () => {
    const lease = freshId('keep');
    const created = await slipway(
      'lease',
      'create',
      '--bundle',
      'broken',
      '--id',
      lease,
      '--attempts',
      '1',
      '--keep',
      '20s',
    );
    expect(created.code).toBe(6);
    expect(created.err).toContain(`slipway lease show ${lease} --why · slipway lease release ${lease}`);
    expect((await stack.get(lease)).state).toBe('held');
    await until('it was asked', async () => (await why(lease)).err.includes('module failed'));
    expect((await slipway('lease', 'ssh', lease, '--', 'cloud-init', 'again')).out).toBe('status: error (again)\n');
    expect(await stack.wait(lease, 'gone')).toMatchObject({ state: 'failed', attempts: [{ phase: 'gone' }] });
  });
});
