import { continueAsNew, proxyActivities, sleep, workflowInfo } from '@temporalio/workflow';

const { touch } = proxyActivities<{ touch(): Promise<string> }>({ startToCloseTimeout: '1 minute' });

export async function sleeps(): Promise<void> {
  await sleep(20);
}

export async function acts(): Promise<void> {
  for (let n = 0; n < 5; n += 1) await touch();
}

export async function hops(left: number): Promise<string> {
  if (left > 0) await continueAsNew<typeof hops>(left - 1);
  return workflowInfo().runId;
}

export async function waits(): Promise<void> {
  await sleep('1 hour');
}
