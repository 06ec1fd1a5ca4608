import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleOptions,
} from '@temporalio/client';
import type { SweepSettings } from '../config/settings.ts';
import { sweepScheduleId, taskQueue, workflowType } from '../contract/messages.ts';

/** The shortest that the server takes: what was missed while no stack ran is made up for by the next look alone. */
const catchupWindow = '10s';

/** One schedule for each provider, as the settings say, and none for any other. Twice is harmless. */
export async function keepSweepSchedules(
  client: Client,
  providers: readonly string[],
  sweep: SweepSettings,
  queue = taskQueue,
): Promise<void> {
  const wanted = new Map(providers.map((provider) => [sweepScheduleId(provider), provider]));
  for await (const { scheduleId } of client.schedule.list()) {
    if (!scheduleId.startsWith(sweepScheduleId('')) || wanted.has(scheduleId)) continue;
    await client.schedule.getHandle(scheduleId).delete().catch(unlessGone);
  }
  for (const [scheduleId, provider] of wanted) await keep(client, scheduleOf(scheduleId, provider, sweep, queue));
}

async function keep(client: Client, wanted: ScheduleOptions): Promise<void> {
  try {
    await client.schedule.create(wanted);
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const handle = client.schedule.getHandle(wanted.scheduleId);
    const { state } = await handle.describe();
    if (state.note === wanted.state?.note) return;
    // Whoever paused it has a reason.
    await handle.update(() => ({ ...wanted, state: { ...state, ...wanted.state } }));
  }
}

function scheduleOf(scheduleId: string, provider: string, sweep: SweepSettings, queue: string): ScheduleOptions {
  const { everyMs, graceMs } = sweep;
  return {
    scheduleId,
    spec: { intervals: [{ every: everyMs }] },
    // Two at once would find the same.
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
    // Tells people what holds, and us whether it is what the settings say.
    state: { note: `every ${everyMs} ms, grace ${graceMs} ms` },
    action: {
      type: 'startWorkflow',
      workflowType: workflowType.sweep,
      workflowId: scheduleId,
      taskQueue: queue,
      args: [{ provider, reclaim: true, graceMs, schedule: scheduleId }],
      staticSummary: `sweep of provider ${provider}`,
    },
  };
}

function unlessGone(error: unknown): void {
  if (!(error instanceof ScheduleNotFoundError)) throw error;
}
