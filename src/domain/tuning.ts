/** What an operator (or a test) may turn; carried in the inputs of workflows, because a workflow reads no environment. */
export interface Tuning {
  /** Continue as new from this many events of history on; the server's own suggestion when absent. */
  readonly continueEvery?: number;
  /** How long the first, watched try to destroy may take before a machine is `stuck`. */
  readonly reclaimWithinMs: number;
  /** How often a stuck machine is tried again, for ever. */
  readonly stuckRetryMs: number;
  /** How long one leg of following a task lasts. */
  readonly legMs: number;
  /** Beyond its lease's end, until a machine that hears nothing of it reclaims itself; 2 min when absent. */
  readonly leaseGraceMs?: number;
}

export const defaultTuning: Tuning = {
  reclaimWithinMs: 600_000,
  stuckRetryMs: 300_000,
  legMs: 1_800_000,
};
