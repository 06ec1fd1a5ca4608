import { workflowInfo } from '@temporalio/workflow';
import { z } from 'zod';
import { taskSpec } from '../contract/lease.ts';
import { accountQuota } from '../contract/quota.ts';
import { gateParts } from '../domain/bundle.ts';
import { hostKeySources } from '../domain/host-key.ts';
import type { MachineInput } from '../domain/machine.ts';
import { reclaimPolicies } from '../domain/reuse.ts';
import { checked, invalid } from './door.ts';
import type { QuotaInput } from './quota.ts';
import type { TaskInput } from './task.ts';

/** The children's inputs are made by us; a stranger's must fail its workflow, not retry its first task for ever. */
const ms = z.number().min(0).max(34_560_000_000);
const tuning = z.looseObject({
  continueEvery: z.number().min(1).exactOptional(),
  reclaimWithinMs: ms,
  stuckRetryMs: ms,
  legMs: ms,
  leaseGraceMs: ms.exactOptional(),
});
const access = z.looseObject({ address: z.string(), port: z.int(), user: z.string(), fingerprint: z.string() });

const plan = z.looseObject({
  bundle: z.looseObject({ name: z.string(), digest: z.string() }),
  variants: z.array(z.string()),
  steps: z.array(z.looseObject({ title: z.string(), limitMs: ms, allowFailure: z.boolean() })),
  quotas: z
    .array(z.looseObject({ account: z.string(), place: z.string(), cores: z.int(), memoryMb: z.int() }).nullable())
    .exactOptional(),
  gate: z.enum(['steps', 'command', 'manual', 'checkin', 'all', 'any']),
  gateParts: z.array(z.enum(gateParts)).exactOptional(),
  hostKey: z.enum(hostKeySources).exactOptional(),
  reclaim: z.enum(reclaimPolicies).exactOptional(),
  limits: z.looseObject({
    readyWithinMs: ms,
    provisionWithinMs: ms,
    loadWithinMs: ms,
    accessWithinMs: ms,
    customizeWithinMs: ms,
  }),
});
const machineInput = z.looseObject({
  machineId: z.string(),
  leaseId: z.string(),
  pool: z.looseObject({ name: z.string() }).exactOptional(),
  holder: z.string().exactOptional(),
  provider: z.string(),
  variant: z.int(),
  birth: z.string(),
  key: z.string(),
  plan,
  ttlMs: ms,
  holdOnFailureMs: ms.exactOptional(),
  tuning,
  reclaimOnly: z
    .looseObject({ ref: z.record(z.string(), z.string()).exactOptional(), account: z.string().exactOptional() })
    .exactOptional(),
});
const quotaInput = z.looseObject({ account: z.string().min(1).max(128), quota: accountQuota.exactOptional(), tuning });
const taskInput = z.looseObject({
  leaseId: z.string(),
  taskId: z.string(),
  spec: taskSpec,
  guest: z.looseObject({ machine: z.looseObject({ machineId: z.string() }), access }),
  digest: z.string(),
  holder: z.string(),
  tuning,
});

/** @throws ApplicationFailure InvalidRequest that names every mistake */
export function checkedMachine(raw: MachineInput): MachineInput {
  check(machineInput, raw, 'machine');
  return raw;
}

/** @throws ApplicationFailure InvalidRequest that names every mistake */
export function checkedTask(raw: TaskInput): TaskInput {
  check(taskInput, raw, 'task');
  return raw;
}

/** @throws ApplicationFailure InvalidRequest that names every mistake */
export function checkedQuota(raw: QuotaInput): QuotaInput {
  check(quotaInput, raw, 'quota');
  return raw;
}

function check(schema: z.ZodType, raw: { readonly carried?: unknown }, type: string): void {
  // What an earlier run of ours carries needs no look, and costs a long life nothing.
  if (workflowInfo().continuedFromExecutionRunId !== undefined) return;
  checked(schema, raw, `input of workflow ${type}`);
  if (raw.carried !== undefined) throw invalid(`input of workflow ${type}: carried: only its own next run may have it`);
}
