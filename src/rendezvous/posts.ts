import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { checkedInBody, machineReadyBody } from '../contract/check-in.ts';
import { machineSignals, queries } from '../contract/messages.ts';
import type { Recipe } from '../domain/bundle.ts';
import { judged, type Verdict } from '../domain/check-in.ts';
import type { CheckInIdentity, GuestPost } from '../domain/guest-post.ts';
import { DomainError } from '../domain/failure.ts';
import { machineWorkflowId, providerKey } from '../domain/ids.ts';
import { lastStage } from '../domain/last-stage.ts';
import { isLeaving, type MachineStatus } from '../domain/lease.ts';
import type { BlobStore } from '../output/output-store.ts';

export interface PostDeps {
  readonly client: Client;
  readonly blobs: Pick<BlobStore, 'get'>;
  /** Whether a post from another address than the first one is refused, as the settings say now. */
  readonly sameSource: () => Promise<boolean>;
}

/** A guest waits for the answer, and asks again. */
const withinMs = 10_000;

/** As long as its life is open; undefined afterwards. */
async function statusOf({ client }: PostDeps, machineId: string): Promise<MachineStatus | undefined> {
  const handle = client.workflow.getHandle(machineWorkflowId(machineId));
  try {
    return await client.withDeadline(Date.now() + withinMs, async () => {
      // A closed life would answer too, at the price of its whole history.
      if ((await handle.describe()).status.name !== 'RUNNING') return undefined;
      return handle.query<MachineStatus>(queries.status);
    });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** Takes a proven post to its machine, unless that would change nothing. */
export async function postToMachine(deps: PostDeps, who: CheckInIdentity, post: GuestPost): Promise<Verdict> {
  const { facts, hostKeys = [], result, message, ...from } = post;
  const [signal, schema, body] =
    result === undefined
      ? [machineSignals.checkedIn, checkedInBody, { ...from, facts, hostKeys }]
      : [
          machineSignals.markReady,
          machineReadyBody,
          { result, ...(message === undefined ? {} : { message }), guest: from },
        ];
  // Its machine would refuse it without counting it: a guest could fill that history until the server ends it.
  if (!schema.safeParse(body).success) return 'unreadable';
  const status = await statusOf(deps, who.machineId);
  if (!status) return 'late';
  const verdict = judged(status, who, post, await deps.sameSource());
  if (verdict !== 'taken') return verdict;
  const handle = deps.client.workflow.getHandle(machineWorkflowId(who.machineId));
  try {
    await deps.client.withDeadline(Date.now() + withinMs, () => handle.signal(signal, body));
    return 'taken';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'late';
    throw error;
  }
}

/** What would not fit into its user-data, between its create and its end. @throws DomainError Gone */
export async function lastStageOf(deps: PostDeps, who: CheckInIdentity): Promise<string> {
  const status = await statusOf(deps, who.machineId);
  const mine = status?.key === providerKey(who.machineId, who.birth) && status.generation === who.generation;
  if (!status?.bundle || !mine || isLeaving(status.phase))
    throw new DomainError('Gone', `Machine ${who.machineId} is not served any more.`);
  const bytes = await deps.blobs.get(status.bundle.digest);
  const { userData = {} } = JSON.parse(new TextDecoder().decode(bytes)) as Recipe;
  return lastStage(userData.files ?? [], userData.scripts ?? []) ?? '';
}
