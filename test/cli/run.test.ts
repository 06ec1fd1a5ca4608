import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshId } from '../api/api-bench.ts';
import { startCliBench } from './cli-bench.ts';
import type { CliBench } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => (cli = await startCliBench()));
afterAll(() => cli.stop());

const both = async (write: (stream: 'stdout' | 'stderr', text: string) => Promise<void>): Promise<number> => {
  await write('stdout', 'out 1\n');
  await write('stderr', 'err 1\n');
  await write('stdout', 'no newline');
  return 7;
};
const job = (id: string, work: typeof both = both): readonly string[] => {
  cli.api.jobs.set(`${id}/job`, work);
  return ['run', '--bundle', 'hello', '--id', id];
};

describe('run', () => {
  it('gives the job’s bytes to stdout alone, says the rest on stderr, and exits as the job did', async () => {
    const id = freshId();
    const { code, stdout, stderr } = await cli.run([...job(id), '--', 'sh', '-c', 'echo "a b"']);
    expect(code).toBe(7);
    expect(stdout).toBe('out 1\nno newline');
    expect(stderr).toContain(`Leasing bundle hello as ${id}`);
    expect(stderr).toMatch(/✔ ready in .* · hello on fake · lease /);
    expect(stderr).toContain(`▸ sh -c 'echo "a b"'`);
    expect(stderr).toContain('err 1\n');
    expect(stderr).toMatch(/✗ exit 7 · .* · stdout 16 B · stderr 6 B · machine seen gone/);
    expect(stderr).not.toContain('\u001B');
    expect(stderr.indexOf('ready in')).toBeLessThan(stderr.indexOf('err 1'));
  });

  it('shows colours and a line that is rewritten on a terminal, and no colours with NO_COLOR', async () => {
    const id = freshId();
    cli.api.world.hold('awaitAccessible');
    const running = cli.start([...job(id), '--', 'x'], { tty: true });
    await running.stderr.holds('waiting');
    cli.api.world.letGo('awaitAccessible');
    expect(await running.code).toBe(7);
    expect(running.stderr.text).toContain('\u001B[32m✔');
    expect(running.stderr.text).toContain('\r\u001B[K');
    const plain = await cli.run([...job(freshId()), '--', 'x'], { tty: true, env: { NO_COLOR: '1' } });
    expect(plain.stderr).not.toContain('\u001B[3');
  });

  it('is one lease and one run per id', async () => {
    const id = freshId();
    let runs = 0;
    const counted = async (): Promise<number> => {
      runs += 1;
      return 0;
    };
    expect((await cli.run([...job(id, counted), '--', 'x'])).code).toBe(0);
    expect((await cli.run([...job(id, counted), '--', 'x'])).code).toBe(0);
    expect(runs).toBe(1);
    const other = await cli.run([...job(id, counted), '--', 'y']);
    expect(other.code).toBe(125);
    expect(other.stderr).toContain('exists with another body');
  });

  it('with --json prints one document and nothing else on stdout', async () => {
    const { code, stdout, stderr } = await cli.run([...job(freshId()), '--json', '--', 'x']);
    const document = JSON.parse(stdout) as { exitCode: number; job: { exitCode: number }; lease: { state: string } };
    expect(document).toMatchObject({
      exitCode: 7,
      job: { exitCode: 7, stdout: { bytes: 16 } },
      lease: { state: 'released' },
    });
    expect(stderr).toContain('out 1');
    expect(code).toBe(7);
  });

  it('passes environment, secrets, files and stdin on, and no secret where it could be seen', async () => {
    const id = freshId();
    await writeFile(join(cli.folder, 'build.sh'), '#!/bin/sh\n');
    const { code, stderr } = await cli.run(
      [
        ...job(id),
        '--env=A=1',
        '--env=MINE',
        '--secret-env=API_TOKEN',
        '--file=build.sh:/opt/build.sh:0755:root',
        '--stdin',
        '--timeout=20m',
        '--cwd=/opt',
        '--user=ci',
        '--ttl=2h',
        '--keep',
        '--',
        '/opt/build.sh',
        'release',
      ],
      { env: { MINE: 'yes', API_TOKEN: 'hush-hush' }, stdin: 'input' },
    );
    expect(code).toBe(7);
    const event = (await cli.api.client.workflow.getHandle(`lease/${id}`).fetchHistory()).events?.[0];
    const input = JSON.parse(
      Buffer.from(event?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data ?? []).toString(),
    ) as Record<string, unknown>;
    expect(input).toMatchObject({
      leaseId: id,
      bundle: 'hello',
      ttlMs: 7_200_000,
      holdOnFailureMs: 1_800_000,
      files: [
        { path: '/opt/build.sh', mode: '0755', owner: 'root', blob: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
      ],
      job: {
        command: ['/opt/build.sh', 'release'],
        env: { A: '1', MINE: 'yes' },
        secretEnv: { API_TOKEN: 'lease:API_TOKEN' },
        stdin: { blob: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
        limitMs: 1_200_000,
        cwd: '/opt',
        user: 'ci',
      },
    });
    expect(cli.api.sealed.get(`${id}/API_TOKEN`)).toBe('hush-hush');
    expect(JSON.stringify(input) + stderr).not.toContain('hush-hush');
    expect(stderr).toContain('The machine is kept for a look');
    expect(stderr).toContain(`slipway lease release ${id}`);
    await cli.run(['lease', 'release', id, '--wait']);
  });

  it('that is detached prints the lease, and its log can be followed to the same exit code', async () => {
    const id = freshId();
    const { code, stdout, stderr } = await cli.run([...job(id), '--detach', '--', 'x']);
    expect([code, stdout]).toEqual([0, `${id}\n`]);
    expect(stderr).toContain(`slipway task logs -f ${id}`);
    const logs = await cli.run(['task', 'logs', '-f', id]);
    expect([logs.code, logs.stdout]).toEqual([7, 'out 1\nno newline']);
    const kept = await cli.run(['task', 'logs', `${id}/job`]);
    expect([kept.code, kept.stdout, kept.stderr]).toEqual([0, 'out 1\nno newline', 'err 1\n']);
  });

  it('logs one stream, and from a byte on, followed or not', async () => {
    const id = freshId();
    await cli.run([...job(id), '--', 'x']);
    for (const follow of [[], ['-f']]) {
      const logs = (...flags: string[]) => cli.run(['task', 'logs', ...follow, ...flags, id]);
      expect(await logs('--stream', 'stdout', '--since', '6')).toMatchObject({ stdout: 'no newline' });
      const err = await logs('--stream', 'stderr');
      expect(err.stdout).toBe('');
      expect(err.stderr).toMatch(/^err 1\n/);
      const since = await logs('--since', '4,5');
      expect(since.stdout).toBe('1\nno newline');
      expect(since.stderr).toMatch(/^\n/);
    }
    expect(await cli.run(['task', 'logs', '--since', '6,99', id])).toMatchObject({ code: 0, stdout: 'no newline' });
    const json = await cli.run(['task', 'logs', '--json', '--stream', 'stderr', id]);
    expect(Object.keys(JSON.parse(json.stdout) as object)).toEqual(['leaseId', 'taskId', 'encoding', 'stderr']);
    expect(await cli.run(['task', 'logs', '--since', 'noon', id])).toMatchObject({ code: 2 });
  });

  it('takes escape sequences out of the output on a terminal, unless they are asked for', async () => {
    const id = freshId();
    const evil: typeof both = async (write) => {
      await write('stdout', '\u001B]0;ti');
      await write('stdout', 'tle\u0007\u001B[2Jshown\n');
      return 0;
    };
    expect((await cli.run([...job(id, evil), '--', 'x'], { tty: true })).stdout).toBe('shown\n');
    const raw = '\u001B]0;title\u0007\u001B[2Jshown\n';
    expect((await cli.run(['task', 'logs', '--raw', id], { tty: true })).stdout).toBe(raw);
    expect((await cli.run(['task', 'logs', id], { tty: true })).stdout).toBe('shown\n');
    expect((await cli.run(['task', 'logs', id])).stdout).toBe(raw);
  });

  it('whose output ends in mid-line does not run into what we say on a terminal', async () => {
    const id = freshId();
    const open: typeof both = async (write) => {
      await write('stderr', 'no newline');
      return 0;
    };
    expect((await cli.run([...job(id, open), '--', 'x'], { tty: true })).stderr).toContain('no newline\n');
    const again = await cli.run(['task', 'logs', '-f', id], { tty: true, env: { NO_COLOR: '1' } });
    expect(again.stderr).toContain('no newline\n✔ exit 0');
    // A pipe gets what was written, and no more.
    expect((await cli.run(['task', 'logs', '-f', id])).stderr).toContain('no newline✔ exit 0');
  });

  it('that never gets ready exits 125 and says what was tried', async () => {
    cli.api.world.stepFailure = { 0: 100 };
    const before = cli.api.world.plan;
    cli.api.world.plan = {
      ...before,
      steps: [{ title: 'apt-get install nginx', limitMs: 1_000, allowFailure: false }],
    };
    const id = freshId();
    const { code, stderr } = await cli.run([...job(id), '--', 'x']);
    const json = await cli.run([...job(id), '--json', '--', 'x']);
    cli.api.world.stepFailure = {};
    cli.api.world.plan = before;
    expect(code).toBe(125);
    expect(stderr).toContain('✗ hello was not ready (2 attempts)');
    expect(stderr).toMatch(
      /attempt 1 {2}fake {3}machine .*\.1 {3}customizing {2}`apt-get install nginx` {2}exit 100 {3}seen gone/,
    );
    expect(stderr).toContain(`Try: slipway lease show ${id} --why`);
    expect(stderr).toContain('CustomizeFailed');
    expect(JSON.parse(json.stdout)).toMatchObject({ exitCode: 125, job: null, error: { type: 'CustomizeFailed' } });
  });

  it('that keeps its machine for a look says why there is no job, and how to give it back', async () => {
    cli.api.world.stepFailure = { 0: 3 };
    const before = cli.api.world.plan;
    cli.api.world.plan = { ...before, steps: [{ title: 'make', limitMs: 1_000, allowFailure: false }] };
    const id = freshId();
    const { code, stderr } = await cli.run([...job(id), '--keep', '5m', '--', 'x']);
    cli.api.world.stepFailure = {};
    cli.api.world.plan = before;
    expect(code).toBe(125);
    expect(stderr).toContain('✗ hello was not ready (2 attempts): step 1 of 1 failed: make: exit 3');
    expect(stderr).toContain(`Try: slipway lease show ${id} --why · slipway lease release ${id}\n`);
    await cli.run(['lease', 'release', id, '--wait']);
  });

  it('of an unknown bundle exits 125 and names the near ones', async () => {
    const { code, stderr } = await cli.run(['run', '--bundle', 'helo', '--', 'x']);
    expect(code).toBe(125);
    expect(stderr).toContain('✗ No bundle `helo`. Near: hello.');
    expect(stderr).toMatch(/InvalidRequest · request [0-9a-f-]{36}/);
  });

  it('with mistakes in its flags names every one', async () => {
    const { code, stderr } = await cli.run(['run', '--bundle', 'hello', '--id', 'UPPER', '--user', 'a b', '--', 'x']);
    expect(code).toBe(125);
    expect(stderr).toContain('must be lower-case letters');
    expect(await cli.run(['run', '--bundle', 'hello', '--timeout', 'soon', '--', 'x'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('write a duration such as 30s') as string,
    });
    expect(await cli.run(['run', '--bundle', 'hello'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('no command') as string,
    });
  });
});

describe('Ctrl-C', () => {
  const slow = () => {
    let end: (code: number) => void = () => undefined;
    const ended = new Promise<number>((resolve) => (end = resolve));
    const work: typeof both = async (write) => {
      await write('stdout', 'begun\n');
      return ended;
    };
    return { work, end };
  };

  it('once stops following, and says how to resume; the job goes on', async () => {
    const id = freshId();
    const { work, end } = slow();
    const running = cli.start([...job(id, work), '--', 'x']);
    await running.stdout.holds('begun');
    running.interrupt('told');
    expect(await running.code).toBe(130);
    expect(running.stderr.text).toContain(
      `Stopped following. The job goes on. · slipway task logs -f ${id} · slipway lease cancel ${id}`,
    );
    end(3);
    expect((await cli.run(['task', 'logs', '-f', id])).code).toBe(3);
  });

  it('twice cancels the job', async () => {
    const id = freshId();
    cli.api.world.hold('followTask');
    const running = cli.start(['run', '--bundle', 'hello', '--id', id, '--', 'x']);
    await cli.api.world.isHeld('followTask');
    running.interrupt();
    await running.stderr.holds('Ctrl-C again within 2 s');
    running.interrupt();
    expect(await running.code).toBe(130);
    expect(running.stderr.text).toContain('Cancelled.');
    const shown = await cli.run(['lease', 'wait', id, '--for', 'ended', '--json']);
    expect(JSON.parse(shown.stdout)).toMatchObject({ state: 'cancelled' });
  });

  it('is not needed by one whose patience is over: exit 7, the job goes on', async () => {
    const id = freshId();
    const { work, end } = slow();
    const running = cli.start([...job(id, work), '--wait-timeout', '1s', '--', 'x']);
    expect(await running.code).toBe(7);
    expect(running.stderr.text).toContain('Your patience is over. The job goes on.');
    end(0);
    expect((await cli.run(['task', 'logs', '-f', id])).code).toBe(0);
  });
});

it('a reader that has gone ends the following with 141', async () => {
  const id = freshId();
  const running = cli.start([...job(id), '--', 'x']);
  running.stdout.destroy();
  expect(await running.code).toBe(141);
  expect(running.stderr.text).toContain('Stopped following');
});
