import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StackModule } from '../../src/cli/context.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { freshId } from '../api/api-bench.ts';
import { start, startCliBench } from './cli-bench.ts';
import type { CliBench } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => (cli = await startCliBench()));
afterAll(() => cli.stop());

/** A stack that is not there until it is asked for, and writes down what is done with it. */
function fakeStack({ mode = 'one-shot', busy = false }: { mode?: Stack['mode']; busy?: boolean } = {}) {
  const events: string[] = [];
  let running = false;
  const stack = (): Stack => ({
    pid: 1,
    url: cli.api.url,
    tokenFile: cli.env.SLIPWAY_TOKEN_FILE,
    temporal: { address: '127.0.0.1:7233', namespace: 'default', ui: 'http://127.0.0.1:8233' },
    mode,
    startedAt: '2026-01-01T00:00:00.000Z',
  });
  const module: Partial<StackModule> = {
    findStack: async () => (running ? stack() : undefined),
    ensureStack: async (_state, asked) => {
      if (running || mode === 'foreground') return { stack: stack(), started: false };
      events.push(`start ${asked.mode}`);
      const { onProgress } = asked;
      onProgress?.({ step: 'temporal', text: 'temporal ready' });
      running = true;
      return { stack: stack(), started: true };
    },
    stopStack: async (_state, options) => {
      const machines = [...cli.api.world.owned()].length;
      events.push(`stop${options?.unlessBusy ? ' unless busy' : ''}, ${machines} machines`);
      running = busy;
      return busy ? 'busy' : 'stopped';
    },
  };
  return { module, events };
}

const run = async (args: readonly string[], stack: Partial<StackModule>) => {
  const running = start(args, { stack, cwd: cli.folder });
  return { code: await running.code, stdout: running.stdout.text, stderr: running.stderr.text };
};

describe('with no stack', () => {
  it('run starts one for itself, and stops it only when the machine is seen gone', async () => {
    const { module, events } = fakeStack();
    const { code, stderr } = await run(['run', '--bundle', 'hello', '--id', freshId(), '--', 'x'], module);
    expect(code).toBe(0);
    expect(stderr.startsWith('temporal ready\n')).toBe(true);
    expect(events).toEqual(['start one-shot', 'stop unless busy, 0 machines']);
  });

  it('run says that it leaves one for other work that is open', async () => {
    const { module } = fakeStack({ busy: true });
    const { stderr } = await run(['run', '--bundle', 'hello', '--id', freshId(), '--', 'x'], module);
    expect(stderr).toMatch(/✔ exit 0 .*\nOther work is open: the stack goes on in the background/);
  });

  it('run --detach leaves one in the background, and says so', async () => {
    const { module, events } = fakeStack();
    const id = freshId();
    const { stdout, stderr } = await run(['run', '--bundle', 'hello', '--detach', '--id', id, '--', 'x'], module);
    expect(stdout).toBe(`${id}\n`);
    expect(stderr).toContain('Started a stack in the background; it ends when idle');
    expect(events).toEqual(['start background']);
    expect((await run(['task', 'logs', '-f', id], module)).code).toBe(0);
  });

  it('a run that Ctrl-C stopped following leaves it, and one that is refused does not', async () => {
    const { module, events } = fakeStack();
    const id = freshId();
    cli.api.world.hold('awaitAccessible');
    const running = start(['run', '--bundle', 'hello', '--id', id, '--', 'x'], { stack: module, cwd: cli.folder });
    await cli.api.world.isHeld('awaitAccessible');
    running.interrupt('told');
    expect(await running.code).toBe(130);
    expect(running.stderr.text).toContain('The job goes on (stack in the background, ends when idle)');
    expect(events).toEqual(['start one-shot']);
    cli.api.world.letGo('awaitAccessible');
    await run(['lease', 'wait', id, '--for', 'gone'], module);

    // One that a person keeps up in another terminal is none in the background.
    const theirs = fakeStack({ mode: 'foreground' });
    cli.api.world.hold('awaitAccessible');
    const other = start(['run', '--bundle', 'hello', '--id', `${id}-2`, '--', 'x'], {
      stack: theirs.module,
      cwd: cli.folder,
    });
    await cli.api.world.isHeld('awaitAccessible');
    other.interrupt('told');
    expect(await other.code).toBe(130);
    expect(other.stderr.text).toContain('The job goes on. · slipway task logs -f ');
    cli.api.world.letGo('awaitAccessible');
    await run(['lease', 'wait', `${id}-2`, '--for', 'gone'], module);

    const refused = fakeStack();
    expect((await run(['run', '--bundle', 'helo', '--', 'x'], refused.module)).code).toBe(125);
    expect(refused.events).toEqual(['start one-shot', 'stop unless busy, 0 machines']);
  });

  it('a Ctrl-C while one starts is no bug of ours', async () => {
    const starts: StackModule['ensureStack'] = (_state, { onProgress }) => {
      onProgress?.({ step: 'temporal', text: 'temporal starts' });
      return new Promise(() => undefined);
    };
    const running = start(['run', '--bundle', 'hello', '--', 'x'], { stack: { ensureStack: starts }, cwd: cli.folder });
    await running.stderr.holds('temporal starts');
    running.interrupt();
    expect(await running.code).toBe(130);
    expect(running.stderr.text).toBe('temporal starts\n✗ Interrupted.\n');
  });

  it('the demonstration shows the whole way, and leaves nothing', async () => {
    const { module, events } = fakeStack();
    const { code, stderr } = await run(['demo'], module);
    expect(code).toBe(0);
    expect(stderr).toContain('Temporal dev server ready · 127.0.0.1:7233 · UI http://127.0.0.1:8233');
    expect(stderr).toMatch(/Leasing bundle hello as demo-[0-9a-f]{4}\n/);
    expect(stderr).toMatch(/ready +\d+.* after the request\n\n\$ \.\/greeting\.sh {8}\(task demo-.*\/job\)/);
    expect(stderr).toContain('Nothing is left.');
    expect(stderr).toMatch(
      /See what happened {3}http:\/\/127\.0\.0\.1:8233\/namespaces\/default\/workflows\/lease%2Fdemo-/,
    );
    expect(events).toEqual(['start one-shot', 'stop unless busy, 0 machines']);
  });
});

describe('dev', () => {
  it('says whether a stack runs, starts one in the background and stops it', async () => {
    const { module, events } = fakeStack();
    expect(await run(['dev', 'status'], module)).toMatchObject({
      code: 3,
      stdout: expect.stringContaining('No stack runs') as string,
    });
    const up = await run(['dev', '--background'], module);
    expect(up).toMatchObject({ code: 0, stdout: expect.stringContaining(`API        ${cli.api.url}`) as string });
    expect(up.stderr).toContain('Whoever reaches the Temporal port owns the stack');
    expect((await run(['dev', 'status', '--json'], module)).stdout).toContain('"pid": 1');
    expect((await run(['dev', 'stop'], module)).stdout).toContain('Stopped.');
    expect(events).toEqual(['start background', 'stop, 0 machines']);
  });

  it('in the foreground prints the addresses when it is up, and passes --temporal on', async () => {
    const { module } = fakeStack();
    const seen: unknown[] = [];
    const foreground: Partial<StackModule> = {
      runForeground: async (_state, { onReady, temporal, say }) => {
        seen.push(temporal);
        const { stack } = await (module.ensureStack as StackModule['ensureStack'])(_state, { mode: 'background' });
        onReady(stack);
        say('Stopping');
      },
    };
    const { code, stdout, stderr } = await run(['dev', '--temporal', 'work'], foreground);
    expect([code, seen]).toEqual([0, [{ profile: 'work' }]]);
    expect(stdout).toContain('UI         http://127.0.0.1:8233');
    expect(stderr).toContain('Stopping');
    expect((await run(['dev', '--idle', '1m'], foreground)).code).toBe(2);
  });
});

describe('with mistakes in slipway.yaml while a stack runs', () => {
  it('who looks at pools, quotas or providers is told them, and the data stays as it is', async () => {
    const { module } = fakeStack();
    await module.ensureStack?.(stateFolder(join(cli.folder, '.slipway')), { mode: 'background' });
    await writeFile(join(cli.folder, 'slipway.yaml'), 'pools: {web: {bundle: web, target: 5, ceiling: 2}}\n');
    for (const words of [
      ['pool', 'list'],
      ['quota', 'list'],
      ['provider', 'check'],
    ]) {
      const { stdout, stderr } = await run([...words, '--json'], module);
      expect(stderr).toContain(
        '! slipway.yaml has mistakes; its last good version stays in force:\n' +
          '    slipway.yaml:1:36   pools.web.target: 5 machines are more than the ceiling of 2\n',
      );
      expect(JSON.parse(stdout)).toBeInstanceOf(Array);
    }
    await rm(join(cli.folder, 'slipway.yaml'));
    expect((await run(['pool', 'list'], module)).stderr).not.toContain('slipway.yaml has mistakes');
  });
});
