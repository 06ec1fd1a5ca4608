import { setTimeout as pause } from 'node:timers/promises';
import type { QuotaStatus } from '../src/domain/quota-status.ts';
import { remains } from './remains.ts';
import type { World } from './world.ts';

/** After the last fault: a machine that is stuck is tried again within seconds here. */
const quietWithinMs = 180_000;

export interface Quiet {
  /** What is left of machines on the host, and of open workflows. */
  readonly left: readonly string[];
  readonly afterMs: number;
}

/** Waits until nothing is left of any lease. */
export async function quiet({ stack }: World, withinMs = quietWithinMs): Promise<Quiet> {
  const fromMs = Date.now();
  for (;;) {
    const left = [
      ...remains(stack.state),
      ...(await asked('workflow', openWorkflows(stack.client))),
      ...(await asked('quota', heldQuota(stack.client))),
    ];
    const afterMs = Date.now() - fromMs;
    if (left.length === 0 || afterMs > withinMs) return { left, afterMs };
    await pause(200);
  }
}

/** The last kill may have been a moment ago: what does not answer yet is asked again. */
const asked = (what: string, answer: Promise<readonly string[]>): Promise<readonly string[]> =>
  answer.catch((error: unknown) => [
    `${what} does not answer: ${error instanceof Error ? error.message : String(error)}`,
  ]);

/** What its account still counts for machines, or for leases that wait. */
async function heldQuota(client: World['stack']['client']): Promise<readonly string[]> {
  const { held, waiting } = await client.workflow.getHandle('quota/local').query<QuotaStatus>('status');
  return [...held, ...waiting].map(({ machineId }) => `quota of ${machineId}`);
}

async function openWorkflows(client: World['stack']['client']): Promise<readonly string[]> {
  const open: string[] = [];
  const query = `ExecutionStatus = 'Running' AND (WorkflowType = 'lease' OR WorkflowType = 'machine' OR WorkflowType = 'task' OR WorkflowType = 'pool')`;
  for await (const { workflowId } of client.workflow.list({ query })) open.push(`workflow ${workflowId}`);
  return open;
}
