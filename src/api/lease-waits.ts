import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { LeaseView } from '../contract/http.ts';
import { hasReached, isLeaseEnd } from '../contract/wait.ts';
import type { WaitKind } from '../contract/wait.ts';
import { leaseUpdates } from '../contract/messages.ts';
import { failureTable } from '../domain/failure.ts';
import { leaseWorkflowId, machineWorkflowId } from '../domain/ids.ts';
import type { LeaseStatus } from '../domain/lease.ts';
import type { ApiDeps } from './deps.ts';
import { leaseStatus, leaseView, machineOf, viewOf } from './lease-view.ts';
import { createSharedWaits } from './shared-waits.ts';
import { domainErrorOf } from './temporal-failure.ts';
import { closed } from './workflows.ts';

/** A machine that is stuck, or returned to its pool, does not tell: this often it is asked, while somebody waits for its end. */
const stuckLookMs = 1_000;

export interface LeaseWaits {
  /** Waits at most `timeoutMs` (or until `leaving`), then answers the lease as it is: the caller reads how far it came. */
  wait(leaseId: string, kind: WaitKind, timeoutMs: number, leaving: AbortSignal): Promise<LeaseView>;
  /** True when the lease has ended. */
  ended(leaseId: string, timeoutMs: number, leaving: AbortSignal): Promise<boolean>;
}

export function createLeaseWaits({ client }: Pick<ApiDeps, 'client'>): LeaseWaits {
  const waits = createSharedWaits();
  const handleOf = (leaseId: string) => client.workflow.getHandle(leaseWorkflowId(leaseId));

  const untilReady =
    (leaseId: string) =>
    async (signal: AbortSignal): Promise<LeaseStatus | 'ended'> => {
      for (;;) {
        try {
          const status = await client.withAbortSignal(signal, async () => {
            const taken = await handleOf(leaseId).startUpdate<LeaseStatus, [unknown]>(leaseUpdates.waitReady, {
              args: [{}],
              updateId: randomUUID(),
              waitForStage: 'ACCEPTED',
            });
            // Of the run that took it. `executeUpdate` asks the newest, which may know nothing of it, when 20 s are over.
            return taken.result();
          });
          // Answered early when the lease continues as a new run: asked again there.
          if (status.state !== 'acquiring') return status;
        } catch (error) {
          const failure = domainErrorOf(error);
          // It has ended, or was refused at its door: then it will not get readier.
          if (failure === undefined || failureTable[failure.type].retryable) throw error;
          return 'ended';
        }
      }
    };
  const untilEnded =
    (leaseId: string) =>
    async (signal: AbortSignal): Promise<true> => {
      await closed(client, handleOf(leaseId), signal);
      return true;
    };
  const untilGone =
    (leaseId: string, machineIds: readonly string[]) =>
    async (signal: AbortSignal): Promise<void> => {
      await Promise.all(
        machineIds.map(async (machineId) => {
          const over = new AbortController();
          const either = AbortSignal.any([signal, over.signal]);
          try {
            await Promise.race([
              closed(client, client.workflow.getHandle(machineWorkflowId(machineId)), either),
              untilLeft(leaseId, machineId, either),
            ]);
          } finally {
            over.abort();
          }
        }),
      );
    };
  /** Stuck, or back in its pool: then its workflow goes on without this lease. */
  const untilLeft = async (leaseId: string, machineId: string, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const machine = await machineOf(client, machineId);
      if (machine?.phase === 'stuck' || (machine?.pool && machine.leaseId !== leaseId)) return;
      try {
        await pause(stuckLookMs, undefined, { signal });
      } catch {
        return; // given up: the other side of the race has ended
      }
    }
  };

  return {
    async wait(leaseId, kind, timeoutMs, leaving) {
      const until = Date.now() + timeoutMs;
      const left = (): number => Math.max(0, until - Date.now());
      if (kind === 'ready' && timeoutMs > 0) {
        // Asked before it is awaited: an update leaves events, also in a lease that has long been ready.
        const { state } = await leaseStatus(client, leaseId);
        if (state !== 'acquiring') return leaseView(client, leaseId);
        const status = await waits.join(`ready ${leaseId}`, untilReady(leaseId), left(), leaving);
        return status === undefined || status === 'ended' ? leaseView(client, leaseId) : viewOf(client, status);
      }
      const view = await leaseView(client, leaseId);
      if (hasReached(view, kind) || timeoutMs <= 0) return view;
      if (!isLeaseEnd(view.state)) await waits.join(`ended ${leaseId}`, untilEnded(leaseId), left(), leaving);
      const ended = await leaseView(client, leaseId);
      if (kind === 'ended' || !isLeaseEnd(ended.state) || hasReached(ended, kind)) return ended;
      const alive = ended.attempts.filter(({ phase }) => phase !== 'gone').map(({ machineId }) => machineId);
      await waits.join(`gone ${leaseId}`, untilGone(leaseId, alive), left(), leaving);
      return leaseView(client, leaseId);
    },
    ended: async (leaseId, timeoutMs, leaving) =>
      (await waits.join(`ended ${leaseId}`, untilEnded(leaseId), timeoutMs, leaving)) ?? false,
  };
}
