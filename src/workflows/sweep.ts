import { workflowInfo } from '@temporalio/workflow';
import { z } from 'zod';
import { sweepBody, sweepReport } from '../contract/sweep.ts';
import { afterSweep, type SweepReport } from '../domain/sweep.ts';
import { checked, orEmpty } from './door.ts';
import { sweeper } from './proxies.ts';

/** What a caller may ask for, and what its schedule says besides. */
const sweepInput = sweepBody.extend({
  graceMs: z.int().min(0).max(86_400_000).exactOptional(),
  schedule: z.string().exactOptional(),
});

/**
 * What carries our tag and has no open machine is shown, and with `reclaim` reclaimed when two looks find it so. On a
 * schedule each run counts on from the one before.
 */
export async function sweep(input?: unknown): Promise<SweepReport> {
  const { reclaim = false, ...rest } = checked(sweepInput, orEmpty(input), 'input of workflow sweep');
  const report = await sweeper(rest.graceMs ?? 0).sweepProviders({ ...rest, reclaim });
  if (rest.schedule === undefined) return report;
  const before = sweepReport.safeParse(workflowInfo().lastResult);
  return afterSweep(before.success ? before.data : undefined, report);
}
