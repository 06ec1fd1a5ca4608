import { z } from 'zod';
import { evidenceKinds, type Evidence } from '../domain/evidence.ts';
import { failureTable } from '../domain/failure.ts';
import type { FailureType, Reason } from '../domain/failure.ts';
import { pinSources } from '../domain/host-key.ts';
import { machineStates } from '../domain/lease.ts';
import type { Access, PhaseTime, QuotaWait, StepFailure } from '../domain/lease.ts';
import { machineCauses } from '../domain/machine.ts';
import type { MachineReport, PoolMachineFacts } from '../domain/machine-report.ts';
import { taskEndStates } from '../domain/task.ts';
import type { StreamResult, TaskResult } from '../domain/task.ts';

/* What machines and tasks tell their lease: small, because every workflow loads it. */

/**
 * An answer: every key of the domain's type must stand in the shape, or this does not compile. Readers must not mind keys
 * that they do not know, so that a later version may add some.
 */
export const answer = <T extends object>(shape: { readonly [K in keyof T]-?: z.ZodType<T[K]> }): z.ZodType<T> =>
  z.looseObject(shape) as unknown as z.ZodType<T>;

/** ISO 8601, UTC. */
export const instant = z.iso.datetime();
export const count = z.int().min(0);
const failureTypes = Object.keys(failureTable) as [FailureType, ...FailureType[]];

export const command = z.union([z.array(z.string()), z.strictObject({ shell: z.string() })]);

export const reason = answer<Reason>({ type: z.enum(failureTypes), message: z.string() });
export const phaseTime = answer<PhaseTime>({
  phase: z.enum(machineStates),
  at: instant,
  durationMs: z.number().exactOptional(),
});
export const access = answer<Access>({
  machineId: z.string(),
  address: z.string(),
  port: z.int(),
  user: z.string(),
  hostKey: z.string(),
  fingerprint: z.string(),
  pin: z.enum(pinSources).exactOptional(),
  nextHostKey: z.string().exactOptional(),
});
export const stepFailure = answer<StepFailure>({
  step: z.int(),
  of: z.int(),
  title: z.string(),
  exitCode: z.int().nullable(),
  message: z.string().exactOptional(),
  generation: z.int().exactOptional(),
  output: z.string().exactOptional(),
});
export const evidence = answer<Evidence>({
  what: z.enum(evidenceKinds),
  generation: z.int(),
  bytes: count,
  step: z.int().exactOptional(),
});
const streamResult = answer<StreamResult>({
  bytes: count,
  keptBytes: count,
  cut: z.boolean(),
  sha256: z.string(),
});

export const taskResult = answer<TaskResult>({
  taskId: z.string(),
  state: z.enum(taskEndStates),
  command,
  exitCode: z.int().nullable(),
  signal: z.enum(['TERM', 'KILL']).nullable(),
  timedOut: z.boolean(),
  cancelled: z.boolean(),
  lost: z.boolean(),
  reason: z.string().exactOptional(),
  startedAt: instant.nullable(),
  durationMs: z.number(),
  stdout: streamResult,
  stderr: streamResult,
});

export const quotaWait = answer<QuotaWait>({ account: z.string(), place: count, of: count, why: z.string() });
const poolMachineFacts = answer<PoolMachineFacts>({
  provider: z.string(),
  birth: z.string(),
  generation: z.int(),
  keys: z.int().exactOptional(),
  uses: count,
  leaseId: z.string().exactOptional(),
  cause: z.enum(machineCauses).exactOptional(),
});
/** What a machine tells its lease; a task tells its `taskResult`. */
export const machineReport = answer<MachineReport>({
  machineId: z.string(),
  key: z.string(),
  state: z.enum(machineStates),
  accepted: z.boolean().exactOptional(),
  reason: reason.exactOptional(),
  failedStep: stepFailure.exactOptional(),
  evidence: z.array(evidence).exactOptional(),
  access: access.exactOptional(),
  phases: z.array(phaseTime),
  leaseUntilMs: z.number().exactOptional(),
  waiting: quotaWait.exactOptional(),
  pool: poolMachineFacts.exactOptional(),
});

/** What a pool tells a lease that was queued. */
export const poolGrant = z.intersection(
  z.looseObject({ attempt: z.int().min(1) }),
  z.union([
    z.looseObject({ state: z.literal('granted'), machineId: z.string(), provider: z.string() }),
    z.looseObject({ state: z.literal('none'), why: z.string() }),
    z.looseObject({ state: z.literal('failed'), reason }),
  ]),
);
