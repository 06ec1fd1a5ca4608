import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshId } from '../api/api-bench.ts';
import { freshFolder } from '../output/store-kit.ts';
import { startCliBench, type CliBench } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => {
  cli = await startCliBench();
  await onMachine('~/report.xml', '<ok/>');
});
afterAll(() => cli.stop());

/** A file that a job has made. */
async function onMachine(path: string, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  const part = await cli.api.fetched.part(path);
  await part.write(0, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await part.keep(sha256, bytes.length);
  await part.close();
  cli.api.world.files.set(path, { path, bytes: bytes.length, sha256, tree: false });
}

const exits = (code: number, id = freshId()): readonly string[] => {
  cli.api.jobs.set(`${id}/job`, async (write) => {
    await write('stdout', 'done\n');
    return code;
  });
  return ['run', '--bundle', 'hello', '--id', id];
};

describe('lease create --collect', () => {
  it('keeps what the machine has when the lease ends, for who fetches it then', async () => {
    const cwd = await freshFolder();
    const id = freshId();
    const create = ['lease', 'create', '--bundle', 'hello', '--id', id, '--collect'];
    expect(await cli.run([...create, '~/report.xml:here.xml'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nobody waits here to place it') as string,
    });
    expect((await cli.run([...create, '~/report.xml'])).code).toBe(0);
    expect((await cli.run(['lease', 'release', id, '--wait'])).code).toBe(0);
    expect((await cli.run(['file', 'get', id, '~/report.xml'], { cwd })).code).toBe(0);
    expect(await readFile(join(cwd, 'report.xml'), 'utf8')).toBe('<ok/>');
  });
});

describe('run --collect', () => {
  it('puts what the job made in its place, with its mode, also when the job failed', async () => {
    const cwd = await freshFolder();
    const flags = ['--collect', '~/report.xml:out/new.xml', '--collect', '~/report.xml'];
    const { code, stderr } = await cli.run([...exits(7), ...flags, '--', 'x'], { cwd });
    expect(code).toBe(7);
    expect(await readFile(join(cwd, 'out', 'new.xml'), 'utf8')).toBe('<ok/>');
    expect(await readFile(join(cwd, 'report.xml'), 'utf8')).toBe('<ok/>');
    expect((await stat(join(cwd, 'report.xml'))).mode & 0o777).toBe(0o644);
    expect(stderr).toContain('  collected ~/report.xml · 5 B · to ./out/new.xml\n');
    expect(stderr).toContain('  collected ~/report.xml · 5 B · to ./report.xml\n');
    expect(stderr).toContain('✗ exit 7');
  });

  it('says what could not be collected, and does not exit 0 then', async () => {
    const cwd = await freshFolder();
    const flags = ['--collect', '~/report.xml', '--collect', '~/none'];
    const { code, stderr } = await cli.run([...exits(0), ...flags, '--', 'x'], { cwd });
    expect(code).toBe(125);
    expect(stderr).toContain('  not collected: there is no ~/none (NotFound)\n');
    expect(stderr).toContain('✔ exit 0');
    expect(stderr).toContain('✗ 1 of 2 could not be collected: exit 125\n');
    expect(await readFile(join(cwd, 'report.xml'), 'utf8')).toBe('<ok/>');
    const json = await cli.run([...exits(0), ...flags, '--json', '--', 'x'], { cwd });
    expect(JSON.parse(json.stdout)).toMatchObject({
      exitCode: 125,
      job: { exitCode: 0 },
      collected: [{ path: '~/report.xml', local: join(cwd, 'report.xml'), bytes: 5 }, { path: '~/none' }],
      error: { type: 'NotFound' },
    });
    expect((await cli.run([...exits(9), '--collect', '~/none', '--', 'x'], { cwd })).code).toBe(9);
  });

  it('says of a place that cannot be written how to get it elsewhere', async () => {
    const cwd = await freshFolder();
    await writeFile(join(cwd, 'file'), '');
    const id = freshId();
    const { code, stderr } = await cli.run([...exits(0, id), '--collect', '~/report.xml:file/x', '--', 'x'], { cwd });
    expect(code).toBe(125);
    expect(stderr).toContain('  collected ~/report.xml · 5 B, but ');
    expect(stderr).toContain(`slipway file get ${id} '~/report.xml' ELSEWHERE`);
    expect(await cli.run(['file', 'get', id, '~/report.xml', '-'])).toMatchObject({ code: 0, stdout: '<ok/>' });
  });

  it('detached says how to get it later, when the machine is long gone', async () => {
    const id = freshId();
    const { stderr } = await cli.run([...exits(0, id), '--detach', '--collect', '~/report.xml:here.xml', '--', 'x']);
    expect(stderr).toContain(`slipway file get ${id} '~/report.xml' here.xml`);
    await cli.run(['lease', 'wait', id, '--for', 'gone']);
    expect(await cli.run(['file', 'get', id, '~/report.xml', '-'])).toMatchObject({ code: 0, stdout: '<ok/>' });
    expect(await cli.run(['file', 'get', id, '/etc/motd', '-'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('not among what it collected') as string,
    });
    expect((await cli.run(['lease', 'show', id])).stdout).toContain('  collected ~/report.xml · 5 B');
  });

  it('while the machine is kept for a look has it already', async () => {
    const cwd = await freshFolder();
    const id = freshId();
    const { code, stderr } = await cli.run([...exits(1, id), '--keep', '5m', '--collect', '~/report.xml', '--', 'x'], {
      cwd,
    });
    expect([code, await readFile(join(cwd, 'report.xml'), 'utf8')]).toEqual([1, '<ok/>']);
    expect(stderr).toContain('The machine is kept for a look');
    await cli.run(['lease', 'release', id, '--wait']);
  });

  it.each(['report.xml', '', ':x', '~me/x'])('of %j is refused, with a word on quotes', async (flag) => {
    const { code, stderr } = await cli.run([...exits(0), '--collect', flag, '--', 'x']);
    expect([code, stderr]).toEqual([125, expect.stringContaining("'~/path:local' in quotes") as string]);
  });
});

describe('file put', () => {
  it('refuses what is neither a file nor a folder, and names what it cannot read', async () => {
    const cwd = await freshFolder();
    const args = ['file', 'put', freshId()];
    expect(await cli.run([...args, '/dev/zero', '~/x'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('✗ /dev/zero is neither a file nor a folder.\n  Try: ') as string,
    });
    expect(await cli.run([...args, 'none', '~/x'], { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('✗ none cannot be read: no such file or directory.\n') as string,
    });
  });

  it('is given up by Ctrl-C, which is no bug of ours', async () => {
    const id = freshId();
    await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id]);
    cli.api.world.hold('moveFile');
    const running = cli.start(['file', 'get', id, '~/report.xml', '-']);
    await cli.api.world.isHeld('moveFile');
    running.interrupt();
    expect(await running.code).toBe(130);
    expect(running.stderr.text).toBe('\nGiven up. What was there is as it was.\n');
    cli.api.world.letGo('moveFile');
    await cli.run(['lease', 'release', id, '--wait']);
  });
});

describe('--file', () => {
  const filesOf = async (id: string): Promise<unknown> => {
    const event = (await cli.api.client.workflow.getHandle(`lease/${id}`).fetchHistory()).events?.[0];
    const { data } = event?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0] ?? {};
    return (JSON.parse(Buffer.from(data ?? []).toString()) as { files: unknown }).files;
  };
  const digest = 'd'.repeat(64);

  it('takes a folder as a tree, and a URL with what it must be', async () => {
    const cwd = await freshFolder();
    await mkdir(join(cwd, 'site', 'sub'), { recursive: true });
    await writeFile(join(cwd, 'site', 'sub', 'x'), 'x');
    const id = freshId();
    const url = 'http://127.0.0.1:9/a%20b/tool.tar?v=1';
    const flags = ['--file', 'site:/srv/', '--file', `${url}#sha256=${digest}:/opt/:0755:root`];
    const { code, stderr } = await cli.run([...exits(0, id), ...flags, '--', 'x'], { cwd });
    expect([code, stderr]).toEqual([0, expect.stringMatching(/site uploaded · .* as an archive · for \/srv\/site/)]);
    const blob = expect.stringMatching(/^[0-9a-f]{64}$/) as string;
    expect(await filesOf(id)).toEqual([
      { blob, path: '/srv/site', tree: true },
      { url, sha256: digest, path: '/opt/tool.tar', mode: '0755', owner: 'root' },
    ]);
    // The same folder is the same archive: the same id and flags again is the same lease.
    expect(await cli.run([...exits(0, id), ...flags, '--', 'x'], { cwd })).toMatchObject({ code: 0 });
  });

  it.each([
    ['a folder with a mode', 'site:/srv:0755', 'keeps the modes'],
    ['what is not there', 'nowhere:/srv', 'nowhere cannot be read'],
    ['a URL without its digest', 'http://127.0.0.1:9/x:/srv', '#sha256=DIGEST'],
    ['a URL with half a digest', 'http://127.0.0.1:9/x#sha256=abc:/srv', '#sha256=DIGEST'],
    ['no place', 'site', 'local:/path'],
  ])('of %s is refused', async (_what, flag, text) => {
    const cwd = await freshFolder();
    await mkdir(join(cwd, 'site'));
    const { code, stderr } = await cli.run([...exits(0), '--file', flag, '--', 'x'], { cwd });
    expect([code, stderr]).toEqual([125, expect.stringContaining(text) as string]);
  });
});
