import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/activities.ts';
import { longTaskQueue } from '../contract/messages.ts';
import { evidenceWithinMs } from '../domain/evidence.ts';
import { powerWithinMs } from '../domain/power.ts';
import { notifyPause, notifyTryMs, notifyWithinMs } from '../domain/notify.ts';

/** Unset, the cancellation type acts as TRY_CANCEL: a destroy then runs beside the create that it should undo. */
const waiting = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;
/** Beats come every 2 s; a worker that is dead is noticed after five. */
const heartbeatTimeout = 10_000;
const patient = { initialInterval: 250, backoffCoefficient: 2, maximumInterval: 5_000 };

/** Resolving a bundle is short, idempotent and local: one marker instead of three events. */
export const local = proxyLocalActivities<Pick<Activities, 'resolveBundle' | 'planSchedule'>>({
  startToCloseTimeout: 20_000,
  retry: { maximumAttempts: 5 },
});

/**
 * The first try to ask a pool is part of the task that asks: with a warm machine there the lease is ready in its first one.
 * Not for long, since it keeps the task from its end.
 */
export const claimsAtOnce = proxyLocalActivities<Pick<Activities, 'claimMachine'>>({
  scheduleToCloseTimeout: 1_000,
  cancellationType: waiting,
  retry: { maximumAttempts: 1 },
});

/** Asks a pool, again and again until it answers; eager, because a caller waits. */
export const claims = proxyActivities<Pick<Activities, 'claimMachine'>>({
  startToCloseTimeout: 30_000,
  heartbeatTimeout,
  cancellationType: waiting,
  retry: { initialInterval: 100, backoffCoefficient: 2, maximumInterval: 5_000 },
});

/**
 * Calls to the provider; they run on the workflow's own queue, eagerly. A phase ends with its limit, whatever the tries.
 * @param stockoutEnds a place without capacity is not tried again here: its account says when
 */
export const cloud = (withinMs: number, summary: string, stockoutEnds = false) =>
  proxyActivities<Pick<Activities, 'createMachine' | 'awaitRunning'>>({
    scheduleToCloseTimeout: withinMs,
    startToCloseTimeout: Math.min(withinMs, 300_000),
    heartbeatTimeout,
    cancellationType: waiting,
    retry: stockoutEnds ? { ...patient, nonRetryableErrorTypes: ['CapacityUnavailable'] } : patient,
    summary,
  });

/** Asks the account; they never give up, and a wait that is asked about again adds nothing to the history. */
export const quotas = (summary: string) =>
  proxyActivities<Pick<Activities, 'reserveQuota' | 'awaitQuota'>>({
    startToCloseTimeout: 60_000,
    heartbeatTimeout,
    // What they ask for is given back by a message of its own.
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    retry: patient,
    summary,
  });

/** An operator's command for it may take a while (`static`). */
export const power = (summary: string) =>
  proxyActivities<Pick<Activities, 'powerMachine'>>({
    taskQueue: longTaskQueue,
    scheduleToCloseTimeout: powerWithinMs,
    startToCloseTimeout: powerWithinMs,
    heartbeatTimeout,
    cancellationType: waiting,
    retry: patient,
    summary,
  });

/** Waiting for a machine and its guest: each loops inside one activity. */
export const waits = (withinMs: number, summary: string) =>
  proxyActivities<
    Pick<
      Activities,
      'awaitAccessible' | 'awaitGate' | 'runStep' | 'inspectMachine' | 'takeBaseline' | 'reloadMachine' | 'resetGuest'
    >
  >({
    taskQueue: longTaskQueue,
    scheduleToCloseTimeout: withinMs,
    startToCloseTimeout: withinMs,
    heartbeatTimeout,
    cancellationType: waiting,
    retry: patient,
    summary,
  });

/** The watches only look: nothing is lost when they are left behind. */
export const watch = proxyActivities<Pick<Activities, 'watchMachine' | 'watchChildren' | 'watchClaim'>>({
  taskQueue: longTaskQueue,
  startToCloseTimeout: '365 days',
  heartbeatTimeout: 60_000,
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  retry: { initialInterval: 1_000, backoffCoefficient: 2, maximumInterval: 30_000 },
});

/** After a watch that failed for good: it only looks, and is taken up again. */
export const watchAgainMs = 300_000;

/** A machine that must go is not kept for its last words, but for the turn of its call at a worker that has many. */
export const witness = proxyActivities<Pick<Activities, 'gatherEvidence'>>({
  taskQueue: longTaskQueue,
  scheduleToCloseTimeout: 60_000,
  startToCloseTimeout: 2 * evidenceWithinMs,
  heartbeatTimeout,
  cancellationType: waiting,
  retry: { initialInterval: 250, backoffCoefficient: 2, maximumAttempts: 2 },
  summary: 'what it has to say before it goes',
});

/** Pays a debt; `withinMs` undefined: for ever, at a fixed interval, without history. */
export const payer = (summary: string, how: { withinMs: number } | { everyMs: number }) =>
  proxyActivities<Pick<Activities, 'destroyMachine'>>({
    ...('withinMs' in how ? { scheduleToCloseTimeout: how.withinMs } : {}),
    startToCloseTimeout: 600_000,
    heartbeatTimeout,
    cancellationType: waiting,
    retry:
      'withinMs' in how
        ? { initialInterval: 500, backoffCoefficient: 2, maximumInterval: 15_000 }
        : { initialInterval: how.everyMs, backoffCoefficient: 1 },
    summary,
  });

/** One leg of following; it detaches when cancelled and never gives up by itself. */
export const follower = (legMs: number, summary: string) =>
  proxyActivities<Pick<Activities, 'followTask'>>({
    taskQueue: longTaskQueue,
    startToCloseTimeout: legMs + 120_000,
    // The sooner a dead worker is noticed, the shorter its caller sees nothing; a second follow does no harm.
    heartbeatTimeout: 6_000,
    cancellationType: waiting,
    retry: { initialInterval: 250, backoffCoefficient: 1.5, maximumInterval: 3_000 },
    summary,
  });

export const killer = (graceMs: number) =>
  proxyActivities<Pick<Activities, 'killTask'>>({
    taskQueue: longTaskQueue,
    scheduleToCloseTimeout: graceMs + 60_000,
    startToCloseTimeout: graceMs + 30_000,
    heartbeatTimeout,
    cancellationType: waiting,
    retry: { initialInterval: 250, backoffCoefficient: 1.5, maximumInterval: 3_000 },
    summary: `TERM, after ${graceMs / 1000} s KILL`,
  });

/** A file of any size; it ends with its lease, never by a time of its own. */
export const mover = (summary: string) =>
  proxyActivities<Pick<Activities, 'moveFile'>>({
    taskQueue: longTaskQueue,
    startToCloseTimeout: '365 days',
    heartbeatTimeout,
    cancellationType: waiting,
    retry: { initialInterval: 250, backoffCoefficient: 1.5, maximumInterval: 5_000 },
    summary,
  });

/** Tells a dispatcher. The tries go over a day, and add nothing to the history. */
export const teller = (summary: string) =>
  proxyActivities<Pick<Activities, 'notify'>>({
    taskQueue: longTaskQueue,
    scheduleToCloseTimeout: notifyWithinMs,
    startToCloseTimeout: 4 * notifyTryMs,
    heartbeatTimeout,
    cancellationType: waiting,
    retry: { initialInterval: notifyPause.firstMs, backoffCoefficient: 2, maximumInterval: notifyPause.longestMs },
    summary,
  });

export const keys = (summary: string) =>
  proxyActivities<Pick<Activities, 'letKeyIn' | 'takeKeyOut'>>({
    scheduleToCloseTimeout: 60_000,
    startToCloseTimeout: 30_000,
    heartbeatTimeout,
    cancellationType: waiting,
    retry: patient,
    summary,
  });

/** Short calls on our own disk and server. */
export const own = proxyActivities<Pick<Activities, 'abandonTask' | 'forgetSecrets'>>({
  startToCloseTimeout: 120_000,
  heartbeatTimeout,
  cancellationType: waiting,
  retry: { initialInterval: 250, backoffCoefficient: 2, maximumInterval: 10_000 },
});

/** Inventories, twice where something seems to be nobody's. The next sweep tries again, so a few tries are enough. */
export const sweeper = (graceMs: number) =>
  proxyActivities<Pick<Activities, 'sweepProviders'>>({
    startToCloseTimeout: graceMs + 300_000,
    heartbeatTimeout,
    cancellationType: waiting,
    retry: { initialInterval: 250, backoffCoefficient: 2, maximumInterval: 10_000, maximumAttempts: 5 },
  });
