import { WorkflowNotFoundError } from '@temporalio/common';
import { checkedInBody, machineReadyBody } from '../contract/check-in.ts';
import { machineSignals } from '../contract/messages.ts';
import type { Recipe } from '../domain/bundle.ts';
import { judged, type Verdict } from '../domain/check-in.ts';
import type { CheckInIdentity, GuestPost } from '../domain/guest-post.ts';
import { DomainError } from '../domain/failure.ts';
import { machineWorkflowId } from '../domain/ids.ts';
import { lastStage } from '../domain/last-stage.ts';
import type { BlobStore } from '../output/output-store.ts';
import type { Fetched } from './outcomes.ts';
import { servedTo, statusOf, withinMs, type ServedDeps } from './served.ts';

export interface PostDeps extends ServedDeps {
  readonly blobs: Pick<BlobStore, 'get'>;
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

/** What would not fit into its user-data, between its create and its end. */
export async function lastStageOf(deps: PostDeps, who: CheckInIdentity, source: string): Promise<Fetched> {
  const served = await servedTo(deps, who, source);
  if ('refused' in served) return served;
  const { bundle } = served.status;
  if (!bundle) throw new DomainError('Internal', `Machine ${who.machineId} does not say what it is made of.`);
  const bytes = await deps.blobs.get(bundle.digest);
  const { userData = {} } = JSON.parse(new TextDecoder().decode(bytes)) as Recipe;
  return { text: lastStage(userData.files ?? [], userData.scripts ?? []) ?? '' };
}
