import { beaconFunction } from '../test/support/beacon.ts';

const local = 'variants:\n  - provider: local\n';
// Faults may stand for as long as a phase lasts: the lease then takes another machine.
const patient = 'readyWithinMs: 90s\nattempts: 5\n';

/** A step knows its machine by its address only. */
export function bundles(beaconPort: number): Readonly<Record<string, string>> {
  const step = `${beaconFunction(beaconPort)} beacon "step $SLIPWAY_ADDRESS"; seq 1 5000; sleep 0.3; seq 1 5000`;
  return {
    plain: `${local}${patient}`,
    stepped: `${local}${patient}files:
  - path: ~/of-the-bundle
    text: of the bundle
commands:
  - run: ${JSON.stringify(['bash', '-c', step])}
  - run: [cat, of-the-bundle]
    cwd: '~'
`,
    failing: `${local}readyWithinMs: 90s\nattempts: 2\ncommands:\n  - run: [sh, -c, 'echo no >&2; exit 3']\n`,
    ...Object.fromEntries(pools.map((name) => [name, `${local}${patient}reclaim: ${name}\n`])),
    small: `${local}    diskMb: 32\n${patient}`,
  };
}

/** Each of the bundle of its name, which says what becomes of its machines. */
const pools = ['destroy', 'reload', 'reset'] as const;

export interface SettingsOptions {
  /** By itself, often enough to meet everything in the making. */
  readonly sweeping: boolean;
  readonly pooling: boolean;
  /** Leases at once: with what the pools hold they now and then wait for the quota. */
  readonly atOnce: number;
}

export const settings = ({ sweeping, pooling, atOnce }: SettingsOptions): string => `sweep:
  everyMs: ${sweeping ? '3s' : '1d'}
  graceMs: 5s
providers:
  local: {type: local, quota: {machines: ${atOnce + pools.length}, coolDownMs: 2s}, rate: {callsPerSecond: 100}}
${pooling ? `pools:\n${pools.map((name) => `  ${name}: {bundle: ${name}, target: 1, ceiling: 2, maxUses: 5}\n`).join('')}` : ''}`;

/** What takes minutes for a person takes seconds here; half of the seeds continue their workflows as new all the time. */
export const tuning = (seed: number): Readonly<Record<string, number>> => ({
  reclaimWithinMs: 10_000,
  stuckRetryMs: 2_000,
  providerEveryMs: 2_000,
  leaseEveryMs: 2_000,
  guestEveryMs: 5_000,
  guestLostAfterMs: 120_000,
  ...(seed % 2 === 0 ? { continueEvery: 40 } : {}),
});
