import type { WorkflowHandle } from '@temporalio/client';
import type { LeaseStatus } from '../../src/domain/lease.ts';

type Handle = Pick<WorkflowHandle, 'executeUpdate'>;

export const update = <T>({ handle }: { readonly handle: Handle }, name: string, body: unknown = {}): Promise<T> =>
  handle.executeUpdate<T, [unknown]>(name, { args: [body] });

/** A lease that continues as new answers with where it stands: it is asked again. */
export async function untilReady(leased: { readonly handle: Handle }): Promise<void> {
  while ((await update<LeaseStatus>(leased, 'waitReady')).state === 'acquiring');
}
