/** Names over Temporal, published for dispatch software in any language. */
export const taskQueue = 'slipway';
/** Activities that wait for long (follow, watch, awaitAccessible): thousands of slots. */
export const longTaskQueue = 'slipway-long';

export const workflowType = {
  lease: 'lease',
  machine: 'machine',
  task: 'task',
  file: 'file',
  key: 'key',
  pool: 'pool',
  sweep: 'sweep',
  quota: 'quota',
  notify: 'notify',
} as const;

/** Work of the stack on itself: a stack in which nothing else is open is idle. */
export const upkeepWorkflowTypes: readonly string[] = [workflowType.sweep, workflowType.quota];
/** The id of the schedule of a provider's sweeps. */
export const sweepScheduleId = (provider: string): string => `sweep/${provider}`;

export const leaseUpdates = {
  open: 'open',
  waitReady: 'waitReady',
  runTask: 'runTask',
  extend: 'extend',
  release: 'release',
} as const;
/** Signals of a lease; those after `markReady` come from its machine and tasks. */
export const leaseSignals = {
  cancel: 'cancel',
  markReady: 'markReady',
  machineReported: 'machineReported',
  taskEnded: 'taskEnded',
  /** From its pool, after it was queued there. */
  poolGranted: 'poolGranted',
} as const;
/** Signals of a machine; `checkedIn` comes from its guest, by the rendezvous, and `hold` and `retire` come from its pool, `quotaGranted` and `quotaRefused` from its account. */
export const machineSignals = {
  hold: 'hold',
  retire: 'retire',
  quotaGranted: 'quotaGranted',
  quotaRefused: 'quotaRefused',
  extend: 'extend',
  release: 'release',
  markReady: 'markReady',
  checkedIn: 'checkedIn',
  cancel: 'cancel',
} as const;
export const machineUpdates = { forget: 'forget', power: 'power' } as const;
export const poolUpdates = { claim: 'claim', set: 'set', drain: 'drain' } as const;
/** Signals of a pool: `declare` and `retract` from who reads the settings, the others from leases and machines. */
export const poolSignals = {
  declare: 'declare',
  retract: 'retract',
  withdraw: 'withdraw',
  machineReported: 'machineReported',
} as const;
export const taskSignals = { cancel: 'cancel', outputAdvanced: 'outputAdvanced' } as const;
export const quotaUpdates = { reserve: 'reserve', takeCalls: 'takeCalls' } as const;
export const quotaSignals = {
  release: 'release',
  stockout: 'stockout',
  throttled: 'throttled',
  reconcile: 'reconcile',
  configure: 'configure',
} as const;
export const queries = { status: 'status', tasks: 'tasks', output: 'output', guest: 'guest' } as const;
export const keySignals = { leave: 'leave' } as const;
export const keyUpdates = { letIn: 'letIn' } as const;

/** In the memo of a lease: id of the update `open` that it was started with. */
export const openedByMemo = 'slipwayOpenedBy';

/** Search attributes (all Keyword) that must exist before a worker starts. */
export const searchAttributes = [
  'SlipwayState',
  'SlipwayBundle',
  'SlipwayProvider',
  'SlipwayLease',
  'SlipwayOwner',
] as const;
