import { CancellationScope, sleep } from '@temporalio/workflow';

/** One timer for the one instant at which something must be done. */
export interface Alarm {
  /** A later instant lets the armed one ring and is armed then: a timer costs events. Undefined: no change. */
  readonly set: (atMs: number | undefined) => void;
  readonly drop: () => void;
}

/** @param summary what rings, for Temporal's UI */
export function createAlarm(summary: string, ring: () => void): Alarm {
  let armedMs: number | undefined;
  let timer: CancellationScope | undefined;
  return {
    set(atMs) {
      if (atMs === undefined || (armedMs !== undefined && armedMs <= atMs)) return;
      timer?.cancel();
      armedMs = atMs;
      timer = new CancellationScope({ cancellable: true });
      void timer
        .run(() => sleep(Math.max(1, atMs - Date.now()), { summary }))
        .then(() => {
          armedMs = undefined;
          ring();
        })
        .catch(() => undefined); // cancelled for an earlier one, or at the end
    },
    drop: () => timer?.cancel(),
  };
}
