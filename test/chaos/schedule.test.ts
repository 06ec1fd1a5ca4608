import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectedOutput, partScript } from '../../chaos/bytes.ts';
import { judge, type Expectation, type Output } from '../../chaos/judge.ts';
import { leasePlans, shapes } from '../../chaos/plan.ts';
import { schedule } from '../../chaos/schedule.ts';
import { victims } from '../../chaos/weather.ts';
import type { TaskResult } from '../../src/domain/task.ts';
import { faultFile, faultNames } from '../../src/providers/faults/fault-file.ts';
import { run } from '../support/local-machines.ts';
import { sha256 } from '../support/stack.ts';

describe('a schedule', () => {
  it('is the same for the same seed, another for another, and whole in a file', () => {
    const one = schedule(5, 3, 4);
    expect(schedule(5, 3, 4)).toEqual(one);
    expect(JSON.parse(JSON.stringify(one))).toEqual(one);
    expect(schedule(6, 3, 4)).not.toEqual(one);
  });

  it('of half an hour has every shape of lease, every fault, every act on the wire and every victim', () => {
    const { leases, spells, wire, kills } = schedule(1, 30, 6);
    expect(new Set(leases.map(({ shape }) => shape))).toEqual(new Set(shapes));
    expect(new Set(leases.map(({ leaseId }) => leaseId)).size).toBe(leases.length);
    const faults = new Set(spells.flatMap(({ rules }) => rules.map(({ fault }) => fault)));
    expect(faultNames.filter((name) => !faults.has(name))).toEqual(['detour']);
    const acts = new Set(wire.map(({ act }) => (act.act === 'arm' ? act.fault.fault : act.act)));
    expect([...acts].sort()).toEqual(['cut', 'hangAll', 'refuse', 'refuseAll', 'reset', 'resetAll', 'slow', 'stall']);
    expect(new Set(kills.map(({ who }) => who))).toEqual(new Set(victims));
  });

  it('has only rules that the layer takes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-chaos-'));
    const path = join(folder, 'faults.json');
    writeFileSync(path, JSON.stringify({ local: schedule(2, 30, 6).spells.flatMap(({ rules }) => rules) }));
    expect(faultFile(path, ['local']).rules('local')?.length).toBeGreaterThan(100);
    rmSync(folder, { recursive: true });
  });
});

describe('the bytes of a task', () => {
  it('are those that its script writes', async () => {
    const [plan] = leasePlans(3, 1);
    if (!plan) throw new Error('a minute without a lease');
    const script = `n=0; while [ $n -lt ${plan.parts} ]; do ${partScript(plan, 'job')} n=$((n + 1)); done`;
    const { stdout, stderr } = await run('bash', ['-c', script]);
    expect(sha256(stdout)).toBe(sha256(expectedOutput(plan, 'job', 'stdout')));
    expect(sha256(stderr)).toBe(sha256(expectedOutput(plan, 'job', 'stderr')));
  });
});

describe('the judge', () => {
  const plan = {
    ...(leasePlans(3, 1)[0] ?? ({} as never)),
    leaseId: 'x',
    shape: 'job',
    exitCode: 7,
    outLines: 3,
  } as const;
  const expectation: Expectation = { plan, taskId: 'job', before: '' };
  const whole: Output = {
    stdout: expectedOutput(plan, 'job', 'stdout'),
    stderr: expectedOutput(plan, 'job', 'stderr'),
  };
  const result = (output: Output, more: Partial<TaskResult> = {}): TaskResult => {
    const of = (bytes: Buffer) => ({ bytes: bytes.length, keptBytes: bytes.length, cut: false, sha256: sha256(bytes) });
    const rest = { taskId: 'job', command: [], signal: null, timedOut: false, cancelled: false, startedAt: null };
    return {
      ...rest,
      state: 'exited',
      exitCode: 7,
      lost: false,
      durationMs: 0,
      stdout: of(output.stdout),
      stderr: of(output.stderr),
      ...more,
    };
  };
  const short: Output = { ...whole, stdout: whole.stdout.subarray(0, -2) };
  const turned: Output = { ...whole, stdout: Buffer.from(whole.stdout.toReversed()) };

  it.each([
    ['all of it', whole, {}, 1, []],
    ['a lost end with what came till then', short, { state: 'lost', exitCode: null, lost: true }, 1, []],
    ['a cancelled end with what came till then', short, { state: 'cancelled', exitCode: 143 }, 1, []],
    ['a second run', whole, {}, 2, ['x/job ran 2 times']],
    ['another exit code', whole, { exitCode: 0 }, 1, ['x/job exited with 0, not 7']],
    ['an exit without a run', whole, {}, 0, ['x/job exited and never began']],
    ['a lost end with an exit code', whole, { state: 'lost' }, 1, ['x/job is lost and has the exit code 7']],
    ['missing bytes', short, {}, 1, [`x/job stdout lacks 2 of ${whole.stdout.length} bytes`]],
    ['other bytes', turned, {}, 1, ['x/job stdout is not what it wrote']],
  ] as const)('of %s says so', (_what, output, more, runs, wrong) => {
    expect(judge(expectation, result(output, more), output, runs).wrong).toEqual(wrong);
  });

  it('misses an end, and a result that says other bytes than are kept', () => {
    expect(judge(expectation, undefined, whole, 1).wrong).toEqual(['x/job has no end']);
    expect(judge(expectation, result(whole), short, 1)).toMatchObject({
      lostBytes: 2,
      wrong: [expect.stringContaining('lacks 2'), expect.stringContaining('of another digest')],
    });
  });
});
