import type { ActivityName } from '../support/fake-world.ts';
import type { What } from './cells.ts';

/** On the way to ready: the machine's workflow gives such an activity up, and the machine with it. */
export const onTheWay: ReadonlySet<ActivityName> = new Set([
  'reserveQuota',
  'awaitQuota',
  'createMachine',
  'awaitRunning',
  'awaitAccessible',
  'runStep',
  'awaitGate',
]);

/** They ask for ever: one that is silent is only asked again. */
const asking: ReadonlySet<ActivityName> = new Set(['reserveQuota', 'awaitQuota']);

/** Those with a time limit of their own; what tries without one is only delivered again. */
export const limited: ReadonlySet<ActivityName> = new Set([
  ...[...onTheWay].filter((activity) => !asking.has(activity)),
  'resolveBundle',
  'planSchedule',
  'inspectMachine',
  'takeBaseline',
  'reloadMachine',
  'resetGuest',
  'destroyMachine',
  'gatherEvidence',
  'killTask',
  'letKeyIn',
  'takeKeyOut',
  'notify',
]);

/** They run inside a workflow task, which hears nothing meanwhile. */
export const localActivities: ReadonlySet<ActivityName> = new Set(['resolveBundle', 'planSchedule']);

/** The workflow itself is told to end, not its activity. */
export const isTold = (what: What): boolean => what === 'signalled' || what === 'cancelled' || what === 'terminated';

/** The workflow learns that the activity is not to be had. */
export const isRefused = ({ activity, what }: { readonly activity: ActivityName; readonly what: What }): boolean =>
  what === 'failsForGood' || (what === 'timesOut' && limited.has(activity));
