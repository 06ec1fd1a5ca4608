import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { onStack } from '../cli/on-stack.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;
let folder: string;
let own: string;
const lease = freshId('ssh');
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-own-key-'));
  own = join(folder, 'own');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', own]);
  stack = await startTestStack({ bundles: { bare: 'variants: [{provider: local}]\n' } });
  const authorizedKeys = [(await readFile(`${own}.pub`, 'utf8')).trim()];
  await stack.create({ leaseId: lease, bundle: 'bare', authorizedKeys });
  await stack.wait(lease, 'ready');
});
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

const slipway = async (args: readonly string[], stdin = '') => (await onStack(stack, args, { stdin })).ended;

const keysThere = async (): Promise<string> => {
  const id = freshId('keys');
  await stack.runTask(lease, id, { command: { shell: 'cat ~/.ssh/authorized_keys' } });
  return (await stack.follow(lease, id)).out.toString();
};

describe('a login to the machine of a lease', () => {
  it('runs a command with its words as they are, both streams apart, its input and its exit code', async () => {
    const words = ['sh', '-c', 'cat; printf "%s|" "$@" >&2; exit 7', 'sh', 'a  b', "it's $HOME", '*', ''];
    const { code, out, err } = await slipway(['lease', 'ssh', lease, '--', ...words], 'sent\n');
    expect({ code, out, err }).toEqual({ code: 7, out: 'sent\n', err: "a  b|it's $HOME|*||" });
  });

  it('has a key of its own, which is gone when it is over', async () => {
    const before = await keysThere();
    const during = await slipway(['lease', 'ssh', lease, '--', 'cat', '.ssh/authorized_keys']);
    expect(during.out.match(/slipway lease ssh/g)).toHaveLength(1);
    expect(during.out.length).toBeGreaterThan(before.length);
    await until('the key is out', async () => (await keysThere()) === before);
  });

  it('is printed with the pinned key, for who has a key of their own there', async () => {
    const { code, out } = await slipway(['lease', 'ssh', lease, '--print']);
    expect(code).toBe(0);
    const line = (pinned: string) =>
      execFileSync('sh', ['-c', `${pinned.replace(/^ssh /, `ssh -F none -i ${own} -o IdentitiesOnly=yes `)} uname`], {
        stdio: 'pipe',
      });
    expect(line(out.trim()).toString()).toBe('Linux\n');
    const other = (await readFile(`${own}.pub`, 'utf8')).split(' ')[1] ?? '';
    const wrong = out.trim().replace(/(ssh-ed25519) [^'\s]+/, `$1 ${other}`);
    expect(() => line(wrong)).toThrow(/Host key verification failed/);
  });

  it('is refused where there is no machine, and says when it was ssh that failed', async () => {
    expect(await slipway(['lease', 'ssh', 'nope', '--', 'true'])).toMatchObject({
      code: 125,
      err: expect.stringContaining('There is no lease nope.') as string,
    });
    expect(await slipway(['lease', 'ssh', lease, '--', 'sh', '-c', 'exit 255'])).toMatchObject({
      code: 125,
      err: expect.stringContaining('ssh ended with 255') as string,
    });
    const over = freshId('over');
    await stack.create({ leaseId: over, bundle: 'bare', job: { command: ['true'] } });
    await stack.wait(over, 'gone');
    expect(await slipway(['lease', 'ssh', over])).toMatchObject({
      code: 125,
      err: expect.stringContaining(`Lease ${over} is released: there is no machine to log in to.`) as string,
    });
  });
});
