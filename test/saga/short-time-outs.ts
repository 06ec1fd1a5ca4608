import { workflowInfo, type WorkflowInterceptorsFactory } from '@temporalio/workflow';

/**
 * Leases that are named so, and their children, are impatient: seconds instead of minutes. `hasty` gives silent attempts up
 * soon, `overdue` whole activities too, `brief` attempts of local activities.
 */
export const prefixes = { hasty: 'hasty-', overdue: 'overdue-', brief: 'brief-' } as const;
const silentMs = 5_000;
const wholeMs = 8_000;
const localMs = 1_000;

const atMost = (mostMs: number, given: unknown): number =>
  typeof given === 'number' ? Math.min(given, mostMs) : mostMs;

/** Part of a bundle of the workflows for tests; the workflows' code is the same. */
export const interceptors: WorkflowInterceptorsFactory = () => {
  const is = (prefix: string): boolean => workflowInfo().workflowId.includes(prefix);
  if (is(prefixes.brief)) {
    const options = { startToCloseTimeout: localMs };
    return {
      outbound: [
        {
          scheduleLocalActivity: (input, next) => next({ ...input, options: { ...input.options, ...options } }),
        },
      ],
    };
  }
  if (!is(prefixes.hasty) && !is(prefixes.overdue)) return {};
  return {
    outbound: [
      {
        scheduleActivity: (input, next) => {
          const { scheduleToCloseTimeout: whole, heartbeatTimeout } = input.options;
          const sooner = {
            heartbeatTimeout: atMost(silentMs, heartbeatTimeout),
            ...(whole !== undefined && is(prefixes.overdue) ? { scheduleToCloseTimeout: atMost(wholeMs, whole) } : {}),
          };
          return next({ ...input, options: { ...input.options, ...sooner } });
        },
      },
    ],
  };
};
