import { expect, it } from 'vitest';
import { outputAtEnd, runToEnd, type Run } from '../../src/activities/follow.ts';
import type { TaskPoll } from '../../src/guest/guest.ts';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import { bytesOf, freshFolder, roomy, sha256 } from '../output/store-kit.ts';

const ended: TaskPoll = {
  state: 'exited',
  exitCode: 3,
  durationMs: 5,
  size: { stdout: 4, stderr: 3 },
  lost: { stdout: null, stderr: null },
  rebooted: false,
  cancelled: false,
  timedOut: false,
  signal: null,
};

/** A task whose guest has kept `out` and `err` of its output, and says this of its end. */
async function runOf(poll: TaskPoll): Promise<Run> {
  const guest: Pick<Run['guest'], 'launch' | 'follow' | 'clean'> = {
    launch: async () => ({ ...poll, state: 'running' }),
    async follow(_key, _offsets, on) {
      await on.data('stdout', 0, bytesOf('out\n'));
      await on.data('stderr', 0, bytesOf('err'));
      return poll;
    },
    clean: async () => undefined,
  };
  return {
    guest: guest as Run['guest'],
    outputs: createFileOutputStore(await freshFolder()),
    key: 'a/job',
    taskId: 'job',
    command: ['true'],
    launch: { command: ['true'] },
    limitBytes: roomy,
    startedAtMs: 0,
  };
}

const never = new AbortController().signal;

it('a task that is kept whole is not cut and needs no reason', async () => {
  const result = await runToEnd(await runOf(ended), never);
  expect(result).toMatchObject({ state: 'exited', exitCode: 3, stdout: { bytes: 4, cut: false } });
  expect(result).not.toHaveProperty('reason');
});

it('output that the guest had no room for is marked as cut, with the reason, and counted as far as it can be', async () => {
  const run = await runOf({ ...ended, lost: { stdout: 1_000, stderr: null } });
  const result = await runToEnd(run, never);
  expect(result).toMatchObject({
    state: 'exited',
    exitCode: 3,
    reason: 'the disk of the guest was full: output is lost',
    stdout: { bytes: 1_004, keptBytes: 4, cut: true, sha256: sha256('out\n') },
    stderr: { bytes: 3, keptBytes: 3, cut: false },
  });
  expect((await run.outputs.stat('a/job'))?.end).toEqual(result);
  // Where nobody could count what was lost, it is said all the same.
  const uncounted = await runToEnd(await runOf({ ...ended, lost: { stdout: null, stderr: 0 } }), never);
  expect(uncounted).toMatchObject({ stderr: { bytes: 3, keptBytes: 3, cut: true }, stdout: { cut: false } });
});

it('the sizes and tails of a task that has ended are those of its whole output, whoever stored it', async () => {
  const run = await runOf({ ...ended, lost: { stdout: 1_000, stderr: null } });
  const result = await runToEnd(run, never);
  if (!result) throw new Error('it has ended');
  expect(await outputAtEnd(run.outputs, run.key, result)).toEqual({
    stdout: { bytes: 1_004, tail: 'out\n' },
    stderr: { bytes: 3, tail: 'err' },
  });
});

/** As a guest that writes so many MiB, and frees what it is told to when it is let. */
async function spooling(mib: number, free: (stored: number) => Promise<void>): Promise<{ run: Run; said: string[] }> {
  const run = await runOf({ ...ended, size: { stdout: mib * 1024 ** 2, stderr: 0 } });
  const said: string[] = [];
  const block = new Uint8Array(1024 ** 2).fill(97);
  const guest: Partial<Run['guest']> = {
    launch: async () => ({ ...ended, state: 'running' }),
    async follow(_key, _offsets, on) {
      for (let n = 0; n < mib; n += 1) {
        await on.data('stdout', n * block.length, block);
        said.push(`${n + 1}`);
      }
      return { ...ended, size: { stdout: mib * block.length, stderr: 0 } };
    },
    async release(_key, { stdout }) {
      await free(stdout / block.length);
      said.push(`freed ${stdout / block.length}`);
    },
    clean: async () => void said.push('clean'),
  };
  return { run: { ...run, guest: guest as Run['guest'] }, said };
}

it('output comes on while what is stored is freed on the guest, one step ahead at most', async () => {
  let let1st: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (let1st = resolve));
  const { run, said } = await spooling(20, (stored) => (stored < 16 ? held : Promise.resolve()));
  const running = runToEnd(run, never);
  await expect.poll(() => said.at(-1)).toBe('15');
  let1st();
  expect(await running).toMatchObject({ stdout: { keptBytes: 20 * 1024 ** 2, cut: false } });
  expect(said.filter((word) => !/^\d+$/.test(word))).toEqual(['freed 8', 'freed 16', 'clean']);
});

it('the more a task has written, the more is freed at a time, up to 32 MiB', async () => {
  const { run, said } = await spooling(256, () => Promise.resolve());
  await runToEnd(run, never);
  const freed = said.flatMap((word) => (word.startsWith('freed ') ? [Number(word.slice(6))] : []));
  const steps = freed.map((at, index) => at - (freed[index - 1] ?? 0));
  expect(steps.slice(0, 4)).toEqual([8, 8, 8, 8]);
  expect(steps).toEqual([...steps].sort((one, other) => one - other));
  expect(Math.max(...steps)).toBe(32);
});

it('a guest on which nothing can be freed any more stops the following, with its reason', async () => {
  const { run } = await spooling(30, () => Promise.reject(new Error('no way to the guest')));
  await expect(runToEnd(run, never)).rejects.toThrow('no way to the guest');
  expect((await run.outputs.stat('a/job'))?.end).toBeUndefined();
});
