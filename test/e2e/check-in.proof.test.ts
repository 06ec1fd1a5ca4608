import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MachineStatus } from '../../src/domain/lease.ts';
import { checkInScript } from '../../src/guest/check-in.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { freshFolder } from '../output/store-kit.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

/** Its last stage goes on by itself after the step that starts it, takes two seconds and then says how it ended. */
const stage = (end: string): string => `variants: [{provider: local}]
ready: checkin
commands:
  - title: start the last stage
    shell: |
      cat >stage <<'END'
      at=$HOME/.slipway/boot
      sleep 2
      ${end}
      END
      setsid sh stage </dev/null >stage.log 2>&1 &
`;
const succeeds = `echo "ended=$(date +%s%3N)" | "$at/check-in" facts && "$at/check-in" result 0 </dev/null`;

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({
    settings: 'pools:\n  again: {bundle: again, target: 1, ceiling: 1}\n',
    bundles: {
      again: `${stage(succeeds)}reclaim: reset\n`,
      stage: stage(
        `case $(cat "$at/boot-string") in one*) echo 'no licence left' | "$at/check-in" result 7 ;; *) ${succeeds} ;; esac`,
      ),
    },
  });
});
afterAll(() => stack.stop());

describe('a bundle whose machine runs its own last stage', () => {
  it('is not ready one moment before that has posted', async () => {
    const leaseId = freshId('stage');
    await stack.create({ leaseId, bundle: 'stage' });
    const { times, machine } = await stack.wait(leaseId, 'ready');
    expect(machine).toMatchObject({ phase: 'ready', checkIn: { result: 0, posts: 2 } });
    expect(Date.parse(times.ready ?? '')).toBeGreaterThan(Number(machine?.checkIn?.facts['ended']));
    const reached = machine?.phases.find(({ phase }) => phase === 'readying');
    expect(reached?.durationMs).toBeGreaterThan(1_000);

    const histories = await Promise.all(
      ['', '-wal'].map((end) => readFile(`${stack.state}/temporal.db${end}`, 'latin1')),
    );

    // What its guest proves itself by is worth nothing afterwards.
    await stack.runTask(leaseId, 'secret', { command: { shell: 'cat .slipway/boot/boot-string' } });
    const bootString = (await stack.follow(leaseId, 'secret')).out.toString();
    const guest = async (...words: string[]): Promise<string> => {
      const folder = await freshFolder();
      await writeFile(join(folder, 'boot-string'), bootString);
      await writeFile(join(folder, 'check-in'), checkInScript);
      const run = promisify(execFile)('sh', [join(folder, 'check-in'), ...words]);
      run.child.stdin?.end();
      return run.then(
        () => 'taken',
        ({ stderr }: { stderr: string }) => /\((\d+)\): (\w+)/.exec(stderr)?.slice(1).join(' ') ?? stderr,
      );
    };
    expect(await guest('result', '0')).toBe('taken');
    expect(await guest('result', '3')).toBe('409 contradicts');
    await stack.post(`/v1/leases/${leaseId}/release`);
    await stack.wait(leaseId, 'gone');
    expect(await guest('result', '0')).toBe('410 late');
    expect(await guest('last-stage')).toBe('410 late');
    const metrics = await (await stack.call('/metrics')).text();
    expect(metrics).toMatch(/slipway_check_ins_total\{outcome="late"\} 2\n/);
    expect(metrics).toMatch(/slipway_check_ins_total\{outcome="contradicts"\} 1\n/);
    // Neither histories nor logs know the secret.
    const secret = bootString.trim().split(':').at(-1) ?? '';
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    for (const name of ['api', 'worker'])
      expect(await readFile(join(stack.root, '.slipway', 'log', `${name}.log`), 'utf8')).not.toContain(secret);
    expect(histories.join('').includes(secret)).toBe(false);
    expect(histories.join('').includes('ended=') || histories.join('').includes('checkedIn')).toBe(true);
  });

  it('fails in the words of its guest, and takes a new machine', async () => {
    const leaseId = freshId('one');
    await stack.create({ leaseId, bundle: 'stage', attempts: 2 });
    const { reason, attempts } = await stack.wait(leaseId, 'gone');
    const message = "The guest's own last stage failed: no licence left (result 7)";
    expect(reason).toMatchObject({ type: 'CustomizeFailed', message });
    expect(attempts.map((attempt) => [attempt.phase, attempt.reason?.message])).toEqual([
      ['gone', message],
      ['gone', message],
    ]);
  });

  it('calls home in its next generation too, when it was reset for another lease', async () => {
    for (const who of ['one', 'two']) {
      const leaseId = freshId(who);
      const shell = `echo who=${who} | ~/.slipway/boot/check-in facts`;
      await stack.create({ leaseId, bundle: 'again', job: { command: { shell } } });
      expect((await stack.follow(leaseId)).result).toMatchObject({ exitCode: 0 });
      await stack.wait(leaseId, 'ended');
    }
    await until('both have served', async () => {
      const { phase, generation } = await stack.json<MachineStatus>('/v1/machines/again+1');
      return phase === 'warm' && generation === 3;
    });
  });

  it('goes on after the surface was away', async () => {
    const leaseId = freshId('stage');
    await stack.create({ leaseId, bundle: 'stage' });
    await stack.killHard('api');
    expect(await stack.wait(leaseId, 'ready')).toMatchObject({ state: 'ready' });
    await stack.post(`/v1/leases/${leaseId}/release`);
    await stack.wait(leaseId, 'gone');
  });
});
