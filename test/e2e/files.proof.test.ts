import { execFileSync } from 'node:child_process';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RunOptions } from '../cli/cli-bench.ts';
import { onStack } from '../cli/on-stack.ts';
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

const slipway = (args: readonly string[], options?: RunOptions) => onStack(stack, args, options);
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

describe('a job whose files are collected', () => {
  const listing = (cwd: string): string =>
    execFileSync('sh', ['-c', 'find . -printf "%p %y %m %l\\n" | sort; find . -type f -exec sha256sum {} + | sort'], {
      cwd,
    }).toString();

  it('gives them, files and folders, also when it failed, and they are there when its machine is gone', async () => {
    const cwd = await freshFolder();
    const id = freshId('collects');
    const makes =
      'mkdir -p ~/out/sub; printf hi >~/out/sub/x; chmod 700 ~/out/sub; ln -s sub/x ~/out/l; printf r >~/r; exit 3';
    const flags = ['--collect', '~/r:report', '--collect', '~/out', '--collect', '~/none'];
    const ran = await run(['run', '--bundle', 'bare', '--id', id, ...flags, '--', 'sh', '-c', makes], { cwd });
    expect(ran).toMatchObject({
      code: 3,
      err: expect.stringMatching(
        /not collected: ~\/none cannot be fetched from \S+: there is no such file or folder \(NotFound\)\n/,
      ) as string,
    });
    expect(await readFile(join(cwd, 'report'), 'utf8')).toBe('r');
    expect(await run(['file', 'get', id, '~/out', 'again'], { cwd })).toMatchObject({ code: 0 });
    expect(listing(join(cwd, 'again'))).toBe(listing(join(cwd, 'out')));
    expect(listing(join(cwd, 'out'))).toContain('./sub d 700');
    // That of the file's own lease.
    expect(await stack.machinesLeft()).toHaveLength(1);
  });

  it.each([
    ['at its time limit', ['--timeout', '1s'], 124],
    ['by its lease being cancelled', [], 130],
  ])('gives them when it is stopped %s', async (_how, flags, code) => {
    const cwd = await freshFolder();
    const id = freshId('stopped');
    const words = ['--grace', '1s', '--collect', '~/r', '--', 'sh', '-c', 'printf r >~/r; echo made; sleep 600'];
    const running = await slipway(['run', '--bundle', 'bare', '--id', id, ...flags, ...words], { cwd });
    await running.stdout.holds('made');
    if (code === 130) await stack.post(`/v1/leases/${id}/cancel`);
    expect(await running.ended).toMatchObject({ code });
    expect(await readFile(join(cwd, 'r'), 'utf8')).toBe('r');
  });

  it('and whose worker dies meanwhile gives them whole, once', async () => {
    const cwd = await freshFolder();
    const id = freshId('dies');
    const makes = 'head -c 120000000 /dev/urandom >~/big; sha256sum ~/big';
    const flags = ['--bundle', 'bare', '--id', id, '--collect', '~/big'];
    const running = await slipway(['run', ...flags, '--', 'sh', '-c', makes], { cwd });
    await running.stdout.holds('big');
    await until('it is collected', async () => (await pendingOf(`lease/${id}`)).includes('moveFile'), 60_000, 5);
    await stack.killHard('worker');
    expect(await running.ended).toMatchObject({ code: 0 });
    expect(sha256(await readFile(join(cwd, 'big')))).toBe(running.stdout.text.split(' ')[0]);
    const { events = [] } = await stack.client.workflow.getHandle(`lease/${id}`).fetchHistory();
    const ends = (events ?? []).flatMap(({ activityTaskStartedEventAttributes: began }) => began?.attempt ?? []);
    expect(Math.max(...ends)).toBeGreaterThan(1);
  });
});

describe('a lease that brings files', () => {
  it('has a folder with all that is in it, and what a URL gives through a redirect', async () => {
    const cwd = await freshFolder();
    await mkdir(join(cwd, 'site', 'sub'), { recursive: true });
    await writeFile(join(cwd, 'site', 'sub', 'run.sh'), '#!/bin/sh\necho run\n', { mode: 0o755 });
    const bytes = noise(400_000);
    const server = createServer((request, response) =>
      request.url === '/tool' ? response.end(bytes) : response.writeHead(302, { location: '/tool' }).end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/moved`;
    const files = ['--file', 'site:~/', '--file', `${url}#sha256=${sha256(bytes)}:~/tool:0755`];
    const does = '~/site/sub/run.sh; sha256sum ~/tool; stat -c %a ~/tool';
    const ran = await run(['run', '--bundle', 'bare', ...files, '--', 'sh', '-c', does], { cwd });
    expect(ran.code).toBe(0);
    expect(ran.out).toMatch(new RegExp(`^run\\n${sha256(bytes)} .*\\n755\\n$`));

    const wrong = ['--file', `${url}#sha256=${'0'.repeat(64)}:~/tool`];
    const refused = await run(['run', '--bundle', 'bare', ...wrong, '--', 'true'], { cwd });
    expect(refused).toMatchObject({
      code: 125,
      err: expect.stringContaining(`failed: ~/tool: the file has the sha256 ${sha256(bytes)}, not`) as string,
    });
    server.close();
    server.closeAllConnections();
  });
});

/** Activities that a worker has taken up. */
async function pendingOf(workflowId: string): Promise<readonly string[]> {
  const { raw } = await stack.client.workflow.getHandle(workflowId).describe();
  return (raw.pendingActivities ?? [])
    .filter((each) => Number(each.attempt) > 0 && each.lastStartedTime)
    .map((each) => each.activityType?.name ?? '');
}

/** Moves that a worker has taken up. */
async function openFiles(): Promise<number> {
  const ids: string[] = [];
  for await (const { workflowId } of stack.client.workflow.list({ query: `WorkflowType = 'file'` }))
    ids.push(workflowId);
  const started = await Promise.all(ids.map(pendingOf));
  return started.filter((activities) => activities.length > 0).length;
}
