import { z } from 'zod';
import { defaultWatchTimes, type WatchTimes } from '../domain/watch-times.ts';
import { defaultTuning, type Tuning } from '../domain/tuning.ts';
import { DomainError } from '../domain/failure.ts';
import { stateFolder, type StateFolder } from './state-folder.ts';

const ms = z.int().min(1);
/** `SLIPWAY_TUNING`: JSON; every key may be left out. For tests and for operators who know what they do. */
const tuningVariable = z.strictObject({
  continueEvery: ms.exactOptional(),
  reclaimWithinMs: ms.exactOptional(),
  stuckRetryMs: ms.exactOptional(),
  legMs: ms.exactOptional(),
  leaseGraceMs: ms.exactOptional(),
  providerEveryMs: ms.exactOptional(),
  leaseEveryMs: ms.exactOptional(),
  guestEveryMs: ms.exactOptional(),
  guestLostAfterMs: ms.exactOptional(),
});

export interface WorkerEnvironment {
  readonly state: StateFolder;
  readonly tuning: Tuning;
  readonly times: WatchTimes;
  readonly logLevel: string;
}

/** @throws DomainError InvalidRequest */
export function workerEnvironment(variables: NodeJS.ProcessEnv = process.env): WorkerEnvironment {
  const folder = variables['SLIPWAY_STATE'];
  if (!folder) {
    const hint = 'start the stack with `slipway dev`, which gives it.';
    throw new DomainError('InvalidRequest', 'The worker needs SLIPWAY_STATE, the absolute path of the state folder.', {
      hint,
    });
  }
  const read = tuningVariable.safeParse(JSON.parse(variables['SLIPWAY_TUNING'] ?? '{}'));
  if (!read.success) throw new DomainError('InvalidRequest', `SLIPWAY_TUNING: ${z.prettifyError(read.error)}`);
  const { providerEveryMs, leaseEveryMs, guestEveryMs, guestLostAfterMs, ...tuning } = read.data;
  const times = { providerEveryMs, leaseEveryMs, guestEveryMs, guestLostAfterMs };
  const given = Object.fromEntries(Object.entries(times).filter(([, value]) => value !== undefined));
  return {
    state: stateFolder(folder),
    tuning: { ...defaultTuning, ...tuning },
    times: { ...defaultWatchTimes, ...given },
    logLevel: variables['SLIPWAY_LOG_LEVEL'] ?? 'info',
  };
}
