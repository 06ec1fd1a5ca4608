import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freshId, startTestStack, type TestStack, type View } from '../support/stack.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;
let tier: string | undefined;
beforeAll(async () => {
  stack = await startTestStack({ bundles: { foo: version(0) } });
  const checks = await stack.json<readonly { name: string; summary: string }[]>('/v1/providers');
  tier = /tier (\w+)/.exec(checks.find(({ name }) => name === 'local')?.summary ?? '')?.[1];
});
afterAll(() => stack.stop());

const version = (n: number): string =>
  `variants: [{provider: local}]\nattempts: ${(n % 9) + 1}\nfiles: [{path: ~/version, text: "${n}"}]\ncommands: [{run: [sh, -c, 'test "$(cat ~/version)" = ${n}']}]\n`;
const edit = (text: string): Promise<void> => writeFile(join(stack.root, 'bundles', 'foo.yaml'), text);

describe('the bundle `site`', () => {
  it('makes a user and starts a service on the address of its machine, or says which step wants root', async () => {
    const leaseId = freshId('site');
    const parameters = { greeting: 'hello harbour', port: '18080' };
    await stack.create({ leaseId, bundle: 'site', parameters, attempts: 1 });
    const view = await stack.wait(leaseId, 'ready');
    if (tier !== 'root') {
      const ended = await stack.wait(leaseId, 'gone');
      expect(ended).toMatchObject({ state: 'failed', reason: { type: 'CustomizeFailed' } });
      expect(ended.attempts[0]?.failedStep).toMatchObject({
        title: '/usr/local/bin/site 0755',
        message: expect.stringContaining(tier === 'plain' ? 'plain machine' : 'no permission') as string,
      });
      return;
    }
    expect(view).toMatchObject({ state: 'ready', parameters });
    const page = await fetch(`http://${view.access?.address}:18080/`);
    expect(await page.text()).toContain('<h1>hello harbour</h1>');
    const who = `ps -o user= -p $(pgrep -f 'httpd|http.server' | head -1)`;
    await stack.runTask(leaseId, 'who', { command: { shell: `${who}; /usr/local/bin/site check && echo up` } });
    expect((await stack.follow(leaseId, 'who')).out.toString()).toBe('site\nup\n');
    await stack.post(`/v1/leases/${leaseId}/release`);
    await stack.wait(leaseId, 'gone');
  });

  it('refuses parameters that it does not allow before there is a machine, with all of it named', async () => {
    const response = await stack.call('/v1/leases/refused', {
      method: 'PUT',
      body: JSON.stringify({ bundle: 'site', parameters: { greeting: '<b>', port: 80, sise: 1 } }),
    });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { issues: { message: string }[] }).issues.map(({ message }) => message)).toEqual(
      [
        'unknown parameter `sise`; known: greeting, port',
        'parameter `greeting` must match [A-Za-z0-9 .,!?-]+, found `<b>`',
        'parameter `port` must be at least 1024, found 80',
      ],
    );
    expect((await stack.call('/v1/leases/refused')).status).toBe(404);
  });
});

describe('a bundle that is edited while leases are asked for', () => {
  it('gives each lease one whole version and new ones the new; broken, its last good one, and says so', async () => {
    const asked: string[] = [];
    const ask = async (): Promise<View> => {
      const leaseId = freshId('foo');
      asked.push(leaseId);
      return stack.create({ leaseId, bundle: 'foo', job: { command: ['cat', 'version'] } });
    };
    for (let n = 1; n <= 4; n += 1) {
      const before = ask();
      await edit(version(n));
      await before;
      await ask();
    }
    const last = asked.at(-1) ?? '';
    for (const leaseId of asked) {
      // The command of its own version refuses the file of another.
      const { result } = await stack.follow(leaseId);
      expect(result).toMatchObject({ exitCode: 0 });
    }
    expect((await stack.follow(last)).out.toString()).toBe('4');
    expect((await stack.get(last)).bundle.notice).toBeUndefined();

    await edit(version(5).replace('attempts: 6', 'attempts: many'));
    const broken = await ask();
    const notice =
      /^Its file has mistakes \(foo\.yaml:2:11 attempts: .*\): the last good version, \w+ of \S+, is in force\.$/;
    expect(broken.bundle.notice).toMatch(notice);
    expect((await stack.follow(broken.leaseId)).out.toString()).toBe('4');
    expect((await stack.get(broken.leaseId)).bundle.notice).toMatch(notice);
    const list = await stack.json<readonly { name: string }[]>('/v1/bundles');
    expect(list.find(({ name }) => name === 'foo')).toMatchObject({ inForce: true, mistakes: [{ line: 2, col: 11 }] });

    // A worker that never saw the good version has it all the same.
    await stack.killHard('worker');
    await stack.killHard('api');
    const after = await ask();
    expect((await stack.follow(after.leaseId)).out.toString()).toBe('4');
    expect((await stack.get(after.leaseId)).bundle.notice).toMatch(notice);
    for (const leaseId of asked) await stack.wait(leaseId, 'gone');
    expect(await stack.machinesLeft()).toEqual([]);
  });
});
