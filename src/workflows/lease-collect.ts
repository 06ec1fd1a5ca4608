import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { GuestRef } from '../activities/activities.ts';
import { isCollectGivenUp, notCollected } from '../domain/lease-collect.ts';
import type { CollectedFile } from '../domain/transfer.ts';
import { reasonOf } from './failures.ts';
import { guestRefOf } from './lease-guest.ts';
import type { LeaseDesk } from './lease-desk.ts';
import { mover } from './proxies.ts';

/** At once: a guest has six channels for what takes long, and people fetch files too. */
const lanes = 4;

/** What a lease fetches from its machine before that is given back. */
export function openCollect(desk: LeaseDesk) {
  let fetching: CancellationScope | undefined;

  const fetch = async (guest: GuestRef, path: string, n: number): Promise<CollectedFile> => {
    const { leaseId } = desk.request;
    try {
      // No id that a caller could give: each has a part file of its own.
      return await mover(`collect ${path}`).moveFile({
        leaseId,
        fileId: `collect:${n}`,
        order: { get: { path } },
        guest,
      });
    } catch (error) {
      if (isCancellation(error)) return notCollected(desk.life, path);
      return { path, reason: reasonOf(error, { type: 'GuestUnreachable', message: `${path} could not be fetched.` }) };
    }
  };

  const fetchAll = async (guest: GuestRef, paths: readonly string[]): Promise<readonly CollectedFile[]> => {
    const files: CollectedFile[] = [];
    const left = paths.entries();
    const lane = async (): Promise<void> => {
      for (const [n, path] of left) files[n] = await fetch(guest, path, n);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return files;
  };

  return {
    begin(): void {
      const guest = guestRefOf(desk.life);
      const { collect = [] } = desk.request;
      if (!guest) return;
      desk.apply({ type: 'collectStarted' });
      const scope = new CancellationScope({ cancellable: true });
      fetching = scope;
      void scope
        .run(() => fetchAll(guest, collect))
        .then((files) => {
          fetching = undefined;
          desk.enqueue({ type: 'collected', files });
        });
    },
    /** Leaves what is still on its way when it is not waited for any more. */
    follow(): void {
      if (isCollectGivenUp(desk.life)) fetching?.cancel();
    },
    /** Nothing is under way that the next run would not hear of. */
    isQuiet: (): boolean => fetching === undefined,
  };
}
