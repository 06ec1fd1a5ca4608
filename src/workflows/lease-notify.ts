import { log, startChild, workflowInfo, WorkflowIdReusePolicy } from '@temporalio/workflow';
import { attributesOf } from '../contract/attributes.ts';
import { workflowType } from '../contract/messages.ts';
import { notifyWorkflowId } from '../domain/ids.ts';
import { leaseStatusOf } from '../domain/lease-next.ts';
import { shown } from '../domain/lease-task.ts';
import type { LeaseResult, TaskSummary } from '../domain/lease.ts';
import type { Notification, NotifyEvent } from '../domain/notify.ts';
import { abandonedChild } from './children.ts';
import type { LeaseDesk } from './lease-desk.ts';
import type { notify } from './notify.ts';

/** The call is a life of its own: neither the job nor the end of the lease, or its machine, waits for who is told. */
export async function tellReady(desk: LeaseDesk): Promise<void> {
  const { tasks, ...status } = leaseStatusOf(desk.life);
  const timestamp = status.times.ready ?? status.times.requested;
  await begin(desk, 'ready', { type: 'lease.ready', timestamp, data: { ...status, tasks: tasks.map(short) } });
}

export async function tellEnded(desk: LeaseDesk, data: LeaseResult): Promise<void> {
  await begin(desk, 'ended', { type: 'lease.ended', timestamp: data.times.ended ?? data.times.requested, data });
}

/** Of a task that has not started the lease has the whole command, which may be long. */
const short = ({ command, ...task }: TaskSummary): TaskSummary => ({ ...task, command: shown({ command }).command });

async function begin({ request, life }: LeaseDesk, event: NotifyEvent, body: Notification): Promise<void> {
  const { leaseId, notify: target } = request;
  if (!target) return;
  const { firstExecutionRunId } = workflowInfo();
  try {
    await startChild<typeof notify>(workflowType.notify, {
      ...abandonedChild,
      // The id of the lease is free again some hours before that of its last call: only an open one is in the way.
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      workflowId: notifyWorkflowId(leaseId, event),
      args: [{ leaseId, event, webhookId: `${firstExecutionRunId}-${event}`, target, body }],
      staticSummary: `tell ${new URL(target.url).origin} that lease ${leaseId} ${event === 'ready' ? 'is ready' : 'has ended'}`,
      typedSearchAttributes: attributesOf({
        lease: leaseId,
        bundle: request.bundle,
        ...(life.owner === undefined ? {} : { owner: life.owner }),
      }),
    });
  } catch (error) {
    // A stranger's workflow has the id. The lease goes on.
    log.warn(`Nobody is told that the lease is ${event}`, { leaseId, error: String(error) });
  }
}
