import { WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { vi } from 'vitest';
import type { LeaseResult, LeaseStatus } from '../../src/domain/lease.ts';
import type { Leased } from '../support/lease-bench.ts';

// Many lives side by side, on a machine that may have two cores and other work.
vi.setConfig({ testTimeout: 90_000 });

export const job = { command: ['true'] } as const;
export const steps = [
  { title: 'one', limitMs: 60_000, allowFailure: false },
  { title: 'two', limitMs: 60_000, allowFailure: false },
];

export async function update<T>({ handle }: Leased, name: string, body: unknown = {}, updateId?: string): Promise<T> {
  const taken = await handle.startUpdate<T, [unknown]>(name, {
    args: [body],
    ...(updateId === undefined ? {} : { updateId }),
    waitForStage: 'ACCEPTED',
  });
  // Of the run that took it; `executeUpdate` asks the newest when it has waited for 20 s, as it does under load.
  return taken.result();
}

/** Our own failure inside what the client throws. */
export async function refusal(answer: Promise<unknown>): Promise<{ type: string | undefined; message: string }> {
  const error: unknown = await answer.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  const cause =
    error instanceof WorkflowUpdateFailedError || error instanceof WorkflowFailedError ? error.cause : error;
  if (!(cause instanceof ApplicationFailure)) throw error;
  return { type: cause.type ?? undefined, message: cause.message };
}

/** The failure of a lease that must fail, with the lease's result in it. */
export async function failed({ handle }: Leased): Promise<{ type: string | undefined; result: LeaseResult }> {
  const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
  if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) throw error;
  return { type: error.cause.type ?? undefined, result: (error.cause.details as [LeaseResult])[0] };
}

export const statusName = async ({
  handle,
}: {
  readonly handle: Pick<Leased['handle'], 'describe'>;
}): Promise<string> => (await handle.describe()).status.name;

/** A lease that continues as new answers its waiters with where it stands: they ask again, as the API does. */
export async function waitReady(leased: Leased): Promise<LeaseStatus> {
  for (;;) {
    const status = await update<LeaseStatus>(leased, 'waitReady');
    if (status.state !== 'acquiring') return status;
  }
}
