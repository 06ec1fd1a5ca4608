/** How often the watches look. */
export interface WatchTimes {
  readonly providerEveryMs: number;
  readonly leaseEveryMs: number;
  readonly guestEveryMs: number;
  /** A guest that is out of reach for this long is lost. */
  readonly guestLostAfterMs: number;
}

export const defaultWatchTimes: WatchTimes = {
  providerEveryMs: 15_000,
  leaseEveryMs: 60_000,
  guestEveryMs: 60_000,
  guestLostAfterMs: 300_000,
};
