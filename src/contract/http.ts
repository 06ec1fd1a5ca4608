import { z } from 'zod';
import { failureTable } from '../domain/failure.ts';
import type { FailureType } from '../domain/failure.ts';
import { standingStates, type StandingMachine } from '../domain/inventory.ts';
import { leaseStates, machineStates } from '../domain/lease.ts';
import type { LeaseState, LeaseStatus, MachinePhase, MachineStatus } from '../domain/lease.ts';
import { providerStates, type ProviderState } from '../domain/reuse.ts';
import { leaseStatus, machineStatus } from './answers.ts';
import { id, name, sha256Hex } from './common.ts';
import { answer } from './reports.ts';
import { waitKinds } from './wait.ts';

/** Bounds of bodies, in bytes. A request's own bound is `requestLimitBytes` of the lease contract. */
export const secretLimitBytes = 65_536;
export const blobLimitBytes = 10 * 1024 ** 3;
/** RFC 9457; `type` is the failure table's. Comes as `application/problem+json`. */
export interface Problem {
  readonly type: FailureType;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** What to try. */
  readonly hint?: string;
  readonly requestId: string;
  readonly retryAfterMs?: number;
  /** Every mistake of the request at once. */
  readonly issues?: readonly Issue[];
}
export interface Issue {
  /** `job.command`, or empty for the whole. */
  readonly path: string;
  readonly message: string;
  /** Where in a file: `web.yaml:3:15`. */
  readonly at?: string;
}
const issue = answer<Issue>({ path: z.string(), message: z.string(), at: z.string().exactOptional() });
export const problem = answer<Problem>({
  type: z.enum(Object.keys(failureTable) as [FailureType, ...FailureType[]]),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  hint: z.string().exactOptional(),
  requestId: z.string(),
  retryAfterMs: z.number().exactOptional(),
  issues: z.array(issue).exactOptional(),
});
export const problemType = 'application/problem+json';

/** A lease with the live state of its last machine, which outlives the lease until it is seen gone. */
export interface LeaseView extends LeaseStatus {
  readonly machine?: MachineStatus;
}
export const leaseView: z.ZodType<LeaseView> = z.intersection(
  leaseStatus,
  z.looseObject({ machine: machineStatus.exactOptional() }),
);

/** A machine, and how its provider says that it stands, at this look; absent when its life is over. */
export interface MachineView extends MachineStatus {
  readonly seen?: ProviderState;
}
export const machineView: z.ZodType<MachineView> = z.intersection(
  machineStatus,
  z.looseObject({ seen: z.enum(providerStates).exactOptional() }),
);

/** One line of `slipway lease list`. Read from an index that may lag by a moment. */
export interface LeaseListing {
  readonly leaseId: string;
  readonly state: LeaseState;
  readonly bundle?: string;
  readonly machineId?: string;
  readonly requested: string;
  readonly expires?: string;
  readonly ended?: string;
  readonly owner?: string;
  /** Tasks that have not ended, of an open lease. */
  readonly running?: number;
  readonly tasks?: number;
}
export const leaseListing = answer<LeaseListing>({
  leaseId: z.string(),
  state: z.enum(leaseStates),
  bundle: z.string().exactOptional(),
  machineId: z.string().exactOptional(),
  requested: z.string(),
  expires: z.string().exactOptional(),
  ended: z.string().exactOptional(),
  owner: z.string().exactOptional(),
  running: z.int().exactOptional(),
  tasks: z.int().exactOptional(),
});

export interface MachineListing {
  readonly machineId: string;
  readonly leaseId: string;
  readonly provider: string;
  readonly phase: MachinePhase;
  readonly since: string;
  readonly deadline?: string;
  readonly address?: string;
}
export const machineListing = answer<MachineListing>({
  machineId: z.string(),
  leaseId: z.string(),
  provider: z.string(),
  phase: z.enum(machineStates),
  since: z.string(),
  deadline: z.string().exactOptional(),
  address: z.string().exactOptional(),
});

export interface ProviderItem {
  readonly name: string;
  readonly ok: boolean;
  readonly text: string;
}
export interface ProviderView {
  readonly name: string;
  readonly ok: boolean;
  readonly summary: string;
  /** It is there without being said in the settings: that it lacks something is no mistake. */
  readonly unsaid?: boolean;
  /** What it declares beyond making and destroying machines: `power`, `console`, `reload`, `rekey`, `images`, `userData`. */
  readonly abilities: readonly string[];
  readonly items: readonly ProviderItem[];
}
export const providerView = answer<ProviderView>({
  name: z.string(),
  ok: z.boolean(),
  summary: z.string(),
  unsaid: z.boolean().exactOptional(),
  abilities: z.array(z.string()),
  items: z.array(answer<ProviderItem>({ name: z.string(), ok: z.boolean(), text: z.string() })),
});

export const standingMachine = answer<StandingMachine>({
  name: z.string(),
  state: z.enum(standingStates),
  since: z.string().exactOptional(),
  machineId: z.string().exactOptional(),
  why: z.string().exactOptional(),
});

const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'must be a whole number')
  .transform(Number);
export const waitQuery = z.strictObject({
  wait: z.enum(waitKinds).optional(),
  timeoutMs: wholeNumber.optional(),
});
export const listQuery = z.strictObject({
  state: z.enum(['open', 'all', ...leaseStates]).optional(),
  owner: name.optional(),
  limit: wholeNumber.pipe(z.int().min(1).max(1000)).optional(),
});
export const machineListQuery = z.strictObject({
  state: z.enum(['open', 'all', 'stuck', 'forgotten']).optional(),
  limit: wholeNumber.pipe(z.int().min(1).max(1000)).optional(),
});
export const followQuery = z.strictObject({ out: wholeNumber.optional(), err: wholeNumber.optional() });
export const providersQuery = z.strictObject({ name: z.string().min(1).max(128).optional() });

export const providerParams = z.strictObject({ name: z.string().min(1).max(128) });
export const standingParams = z.strictObject({
  name: z.string().min(1).max(128),
  machine: z.string().min(1).max(128),
});

export const leaseParams = z.strictObject({ id });
export const taskParams = z.strictObject({ id, task: id });
export const bundleParams = z.strictObject({ name: z.string().min(1).max(200) });
export const machineParams = z.strictObject({ id: z.string().min(1).max(200) });
/** A machine's cloud-init document, as a map; of what is read its secrets are hidden. */
export const userDataBody = z.record(z.string(), z.unknown());
export const consoleDefaultBytes = 16_384;
const consoleMaxBytes = 1_048_576;
export const consoleQuery = z.strictObject({ bytes: wholeNumber.pipe(z.int().min(1).max(consoleMaxBytes)).optional() });
export const stepQuery = z.strictObject({ generation: wholeNumber.pipe(z.int().min(1)).optional() });
export const evidenceParams = z.strictObject({
  id: z.string().min(1).max(200),
  what: z.enum(['console', 'cloudInit']),
});
export const stepParams = z.strictObject({ id: z.string().min(1).max(200), step: wholeNumber });
export const blobParams = z.strictObject({ sha256: sha256Hex });
export const secretParams = z.strictObject({
  id,
  name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be a name such as API_TOKEN'),
});
