import { createHash } from 'node:crypto';
import { streams, type Stream, type TaskResult } from '../src/domain/task.ts';
import { expectedOutput } from './bytes.ts';
import type { LeasePlan } from './plan.ts';

/** A task that was asked for. */
export interface Expectation {
  readonly plan: LeasePlan;
  readonly taskId: string;
  /** What its stdout begins with. */
  readonly before: string;
}

export type Output = Readonly<Record<Stream, Buffer>>;

/** What may be found wrong, by what it means. */
export interface Verdict {
  readonly wrong: readonly string[];
  readonly lostBytes: number;
  /** Said to be unknown. */
  readonly unknown: boolean;
}

/** Pure: what a task must be like, whatever was done to it. @param runs how often it reported that it begins */
export function judge(
  { plan, taskId, before }: Expectation,
  result: TaskResult | undefined,
  output: Output,
  runs: number,
): Verdict {
  const name = `${plan.leaseId}/${taskId}`;
  const wrong: string[] = [];
  let lostBytes = 0;
  if (runs > 1) wrong.push(`${name} ran ${runs} times`);
  if (!result) return { wrong: [...wrong, `${name} has no end`], lostBytes, unknown: false };
  const { state, exitCode } = result;
  // A full disk takes no more output; what a command wrote before it is kept.
  const isWhole = state === 'exited' && plan.shape !== 'full-disk';
  if (state === 'exited' && exitCode !== plan.exitCode)
    wrong.push(`${name} exited with ${exitCode}, not ${plan.exitCode}`);
  if (state === 'exited' && runs === 0) wrong.push(`${name} exited and never began`);
  if (state === 'lost' && exitCode !== null) wrong.push(`${name} is lost and has the exit code ${exitCode}`);
  for (const stream of streams) {
    const must = expectedOutput(plan, taskId, stream, stream === 'stdout' ? before : '');
    const is = output[stream];
    const said = result[stream];
    if (!must.subarray(0, is.length).equals(is)) wrong.push(`${name} ${stream} is not what it wrote`);
    if (isWhole && is.length < must.length) {
      lostBytes += must.length - is.length;
      wrong.push(`${name} ${stream} lacks ${must.length - is.length} of ${must.length} bytes`);
    }
    const sha256 = createHash('sha256').update(is).digest('hex');
    if (said.keptBytes !== is.length || said.sha256 !== sha256)
      wrong.push(`${name} ${stream} has ${is.length} bytes, and its result says ${said.keptBytes} of another digest`);
  }
  return { wrong, lostBytes, unknown: state === 'lost' };
}
