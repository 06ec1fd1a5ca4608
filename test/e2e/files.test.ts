import { execFileSync } from 'node:child_process';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { start, type RunOptions } from '../cli/cli-bench.ts';
import { freshFolder, noise } from '../output/store-kit.ts';
import { freshId, sha256, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;
let lease: string;
beforeAll(async () => {
  stack = await startTestStack({ bundles: { bare: 'variants: [{provider: local}]\n' } });
  lease = freshId('files');
  await stack.create({ leaseId: lease, bundle: 'bare' });
  await stack.wait(lease, 'ready');
});
afterAll(() => stack.stop());

const slipway = async (args: readonly string[], options: RunOptions = {}) => {
  const { api } = JSON.parse(await readFile(join(stack.state, 'stack.json'), 'utf8')) as { api: { url: string } };
  const env = { SLIPWAY_URL: api.url, SLIPWAY_TOKEN_FILE: join(stack.state, 'token'), ...options.env };
  const running = start(args, { ...options, env });
  return {
    ...running,
    ended: running.code.then((code) => ({ code, out: running.stdout.text, err: running.stderr.text })),
  };
};
const run = async (args: readonly string[], options?: RunOptions) => (await slipway(args, options)).ended;

const digestThere = async (path: string): Promise<string> => {
  const id = freshId('sum');
  await stack.runTask(lease, id, { command: { shell: `sha256sum ${path}` } });
  return (await stack.follow(lease, id)).out.toString().split(' ')[0] ?? '';
};

describe('a file', () => {
  it('goes to the machine and comes back, with its mode, byte for byte', async () => {
    const cwd = await freshFolder();
    const bytes = noise(3_000_000);
    await writeFile(join(cwd, 'data.bin'), bytes);
    const put = await run(['file', 'put', lease, 'data.bin', '~/in/', '--mode', '0750', '--parents'], { cwd });
    expect(put).toMatchObject({ code: 0, out: expect.stringMatching(/\/in\/data\.bin\n$/) as string });
    expect(await digestThere('~/in/data.bin')).toBe(sha256(bytes));
    const got = await run(['file', 'get', lease, '~/in/data.bin', 'back.bin', '--json'], { cwd });
    expect(JSON.parse(got.out)).toMatchObject({ bytes: bytes.length, mode: '750', tree: false, sha256: sha256(bytes) });
    expect(sha256(await readFile(join(cwd, 'back.bin')))).toBe(sha256(bytes));
    expect((await stat(join(cwd, 'back.bin'))).mode & 0o777).toBe(0o750);
    await stack.runTask(lease, 'note', { command: { shell: 'printf hi >~/note' } });
    await stack.follow(lease, 'note');
    expect(await run(['file', 'get', lease, '~/note', '-'])).toMatchObject({ code: 0, out: 'hi' });
  });

  it.each([
    ['is not there', ['file', 'get', 'LEASE', '~/nowhere'], 3, 'there is no'],
    ['is a device', ['file', 'get', 'LEASE', '/dev/null'], 2, 'neither a file nor a folder'],
    ['is not there here', ['file', 'put', 'LEASE', 'nowhere', '~/x'], 2, 'nowhere cannot be read'],
    ['would fall into a folder', ['file', 'put', 'LEASE', '/etc/hostname', '~'], 2, 'absolute on the guest'],
    ['has a mode that is none', ['file', 'put', 'LEASE', '/etc/hostname', '~/x', '--mode', 'rw'], 2, 'octal'],
  ])('that %s is refused', async (_what, args, code, text) => {
    const result = await run(args.map((word) => (word === 'LEASE' ? lease : word)));
    expect(result).toMatchObject({ code, err: expect.stringContaining(text) as string });
  });
});

describe('a folder', () => {
  it('goes with all that is in it, and comes back the same', async () => {
    const cwd = await freshFolder();
    await mkdir(join(cwd, 'site', 'sub dir'), { recursive: true });
    await writeFile(join(cwd, 'site', 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    await writeFile(join(cwd, 'site', 'sub dir', 'x'), noise(200_000));
    await symlink('../run.sh', join(cwd, 'site', 'sub dir', 'link'));
    const listing = (name: string): string =>
      execFileSync('sh', ['-c', 'find . -printf "%p %y %m %l\\n" | sort; find . -type f -exec sha256sum {} + | sort'], {
        cwd: join(cwd, name),
      }).toString();
    expect(await run(['file', 'put', lease, 'site', '~/site'], { cwd })).toMatchObject({ code: 0 });
    expect(await run(['file', 'get', lease, '~/site', 'back'], { cwd })).toMatchObject({ code: 0 });
    expect(listing('back')).toBe(listing('site'));
  });
});

describe('a move whose worker dies', () => {
  it('goes on where it was, both ways, and every byte is there', async () => {
    const cwd = await freshFolder();
    const bytes = noise(120_000_000);
    await writeFile(join(cwd, 'big'), bytes);
    const killedWhile = async (args: readonly string[]): Promise<void> => {
      const before = await openFiles();
      const running = await slipway(args, { cwd });
      await until('the move has begun', async () => (await openFiles()) > before, 60_000);
      await stack.killHard('worker');
      expect(await running.ended).toMatchObject({ code: 0 });
    };
    await killedWhile(['file', 'put', lease, 'big', '~/big']);
    expect(await digestThere('~/big')).toBe(sha256(bytes));
    await killedWhile(['file', 'get', lease, '~/big', 'again']);
    expect(sha256(await readFile(join(cwd, 'again')))).toBe(sha256(bytes));
  });
});

/** Moves that a worker has taken up. */
async function openFiles(): Promise<number> {
  const ids: string[] = [];
  for await (const { workflowId } of stack.client.workflow.list({ query: `WorkflowType = 'file'` }))
    ids.push(workflowId);
  const started = await Promise.all(
    ids.map(async (id) => {
      const { raw } = await stack.client.workflow.getHandle(id).describe();
      return (raw.pendingActivities ?? []).some((each) => Number(each.attempt) > 0 && each.lastStartedTime) ? 1 : 0;
    }),
  );
  return started.reduce<number>((sum, each) => sum + each, 0);
}
