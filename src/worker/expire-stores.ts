import type { WorkflowClient } from '@temporalio/client';
import type { Logger } from 'pino';
import { statusIn } from '../activities/watch.ts';
import { holdsForGood } from '../config/bundle-kept.ts';
import type { Settings } from '../config/settings.ts';
import { outputWorkflowId } from '../domain/ids.ts';
import type { FetchedStore } from '../output/fetched-store.ts';
import type { BlobStore, OutputStore } from '../output/output-store.ts';

export interface Expiring {
  readonly outputs: OutputStore;
  readonly blobs: BlobStore;
  readonly fetched: FetchedStore;
  readonly workflows: WorkflowClient;
  readonly settings: () => Promise<Settings>;
  readonly logger: Logger;
}

const everyMs = 3_600_000;
const dayMs = 86_400_000;
/** However short output is kept: time for a caller between an upload and its use, or a fetch and its download. */
const filesAtLeastMs = dayMs;

/** Removes what is older than the settings keep it, now and every hour. What fails is tried again then. */
export function expireStores(expiring: Expiring): { readonly stop: () => void } {
  const { logger } = expiring;
  const look = (): void =>
    void expireOnce(expiring, Date.now()).catch((error: unknown) => logger.error({ error }, 'expiring failed'));
  look();
  const timer = setInterval(look, everyMs);
  return { stop: () => clearInterval(timer) };
}

/** @throws DomainError ProviderUnavailable when Temporal does not say what is open: nothing that may be open is removed */
export async function expireOnce(
  { outputs, blobs, fetched, workflows, settings }: Omit<Expiring, 'logger'>,
  nowMs: number,
): Promise<void> {
  const keepMs = (await settings()).output.keepDays * dayMs;
  const isOpen = async (workflowId: string): Promise<boolean> =>
    holdsForGood(workflowId) || (await statusIn(workflows, workflowId)) === 'RUNNING';
  await Promise.all([
    outputs.expire(nowMs - keepMs, (key) => isOpen(outputWorkflowId(key))),
    blobs.expire(nowMs - Math.max(keepMs, filesAtLeastMs), isOpen),
    fetched.expire(nowMs - Math.max(keepMs, filesAtLeastMs)),
  ]);
}
