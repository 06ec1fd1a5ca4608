import {
  CancellationScope,
  ChildWorkflowCancellationType,
  isCancellation,
  ParentClosePolicy,
  sleep,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import type { ClosedChild } from '../activities/activities.ts';
import { watch, watchAgainMs } from './proxies.ts';

/** A child outlives who started it: it is told what to do, never cancelled or terminated with it. */
export const abandonedChild = {
  parentClosePolicy: ParentClosePolicy.ABANDON,
  cancellationType: ChildWorkflowCancellationType.ABANDON,
  workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
} as const;

/** Tells of each of these workflows that closes, until the scope is cancelled or all have closed. */
export function watchClosed(workflowIds: readonly string[], closed: (child: ClosedChild) => void): CancellationScope {
  const scope = new CancellationScope({ cancellable: true });
  const open = new Set(workflowIds);
  void scope
    .run(async () => {
      while (open.size > 0) {
        for (const child of await lookAt([...open])) {
          open.delete(child.workflowId);
          closed(child);
        }
      }
    })
    .catch(() => undefined); // cancelled at the end of the run
  return scope;
}

/** A watch that fails for good is taken up again later. */
async function lookAt(workflowIds: readonly string[]): Promise<readonly ClosedChild[]> {
  try {
    return await watch.watchChildren({ workflowIds });
  } catch (error) {
    if (isCancellation(error)) throw error;
    await sleep(watchAgainMs);
    return [];
  }
}
