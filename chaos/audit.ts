import { streams, type TaskResult } from '../src/domain/task.ts';
import type { Followed, View } from '../test/support/stack.ts';
import { judge, type Expectation, type Output } from './judge.ts';
import type { LeasePlan } from './plan.ts';
import type { World } from './world.ts';

export interface Audit {
  readonly tasks: number;
  readonly bytes: number;
  readonly lostBytes: number;
  /** Tasks whose end is said to be unknown, by the shape of their lease. */
  readonly unknownEnds: readonly string[];
  /** Leases by the state they ended in. */
  readonly ends: Readonly<Record<string, number>>;
  /** Leases that were served by a pool, and those among them whose machine had served another before. */
  readonly pooled: { readonly leases: number; readonly again: number };
  /** From reclaiming to gone, the longest. */
  readonly longestReclaimMs: number;
  readonly wrong: readonly string[];
}

/** Reads again all that is kept, and compares it with what must be. */
export async function audit(world: World, leases: readonly LeasePlan[]): Promise<Audit> {
  const wrong: string[] = [];
  const ends: Record<string, number> = {};
  const unknownEnds: string[] = [];
  const poolMachines: string[] = [];
  let [bytes, lostBytes, longestReclaimMs] = [0, 0, 0];
  for (const plan of leases) {
    const view = await unlessNone(world.stack.get(plan.leaseId));
    if (!view) {
      wrong.push(`${plan.leaseId} is not known any more`);
      continue;
    }
    ends[view.state] = (ends[view.state] ?? 0) + 1;
    if (view.reason) ends[`${view.state} ${view.reason.type}`] = (ends[`${view.state} ${view.reason.type}`] ?? 0) + 1;
    poolMachines.push(...view.attempts.map(({ machineId }) => machineId).filter((id) => id.includes('+')));
    longestReclaimMs = Math.max(longestReclaimMs, reclaimMs(view));
  }
  for (const expectation of world.expected) {
    const { result, output } = await kept(world, expectation);
    const name = `${expectation.plan.leaseId}/${expectation.taskId}`;
    const runs = world.beacon.arrivals(name);
    // Its lease ended before there was a machine to run it on.
    if (!result && runs === 0) continue;
    const verdict = judge(expectation, result, output, runs);
    const live = world.followed.get(name);
    if (live && !(live.out.equals(output.stdout) && live.err.equals(output.stderr)))
      wrong.push(`${name}: who followed it got other bytes than are kept: ${apart(live, output)}`);
    wrong.push(...verdict.wrong);
    bytes += output.stdout.length + output.stderr.length;
    lostBytes += verdict.lostBytes;
    if (verdict.unknown) unknownEnds.push(expectation.plan.shape);
  }
  const pooled = { leases: poolMachines.length, again: poolMachines.length - new Set(poolMachines).size };
  return { tasks: world.expected.length, bytes, lostBytes, unknownEnds, ends, pooled, longestReclaimMs, wrong };
}

async function kept(
  { stack }: World,
  { plan: { leaseId }, taskId }: Expectation,
): Promise<{ readonly result: TaskResult | undefined; readonly output: Output }> {
  const task = await unlessNone(stack.json<{ result?: TaskResult }>(`/v1/leases/${leaseId}/tasks/${taskId}`));
  const [stdout, stderr] = await Promise.all(
    streams.map(async (stream) => (await unlessNone(stack.output(leaseId, taskId, stream))) ?? Buffer.alloc(0)),
  );
  return { result: task?.result, output: { stdout: stdout ?? Buffer.alloc(0), stderr: stderr ?? Buffer.alloc(0) } };
}

async function unlessNone<T>(asked: Promise<T>): Promise<T | undefined> {
  return asked.catch((error: unknown) => {
    if (error instanceof Error && error.message.includes(': 404 ')) return undefined;
    throw error;
  });
}

const apart = ({ out, err, result }: Followed, { stdout, stderr }: Output): string =>
  `${out.length} of ${stdout.length}, ${err.length} of ${stderr.length}, and the end ${result?.state}`;

function reclaimMs({ machine }: View): number {
  const leaving = (machine?.phases ?? []).filter(({ phase }) => phase === 'reclaiming' || phase === 'stuck');
  return leaving.reduce((sum, { durationMs = 0 }) => sum + durationMs, 0);
}
