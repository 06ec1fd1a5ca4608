import { z } from 'zod';
import type { CheckInStatus } from '../domain/guest-post.ts';
import { debtKinds, leaseEndStates, leaseStates, machineStates } from '../domain/lease.ts';
import type {
  Attempt,
  LeasedBundle,
  LeaseResult,
  LeaseQueue,
  LeaseStatus,
  LeaseTimes,
  MachineStatus,
  TaskStatus,
  TaskSummary,
} from '../domain/lease.ts';
import { notifyStates, type LeaseNotify, type Notification, type NotifyStatus } from '../domain/notify.ts';
import { powerActions } from '../domain/power.ts';
import { reclaimPolicies } from '../domain/reuse.ts';
import { taskStates } from '../domain/task.ts';
import {
  access,
  answer,
  command,
  count,
  evidence,
  instant,
  phaseTime,
  quotaWait,
  reason,
  stepFailure,
  taskResult,
} from './reports.ts';
import { collectedFile } from './transfer.ts';

const texts = z.record(z.string(), z.string());

export const attempt = answer<Attempt>({
  machineId: z.string(),
  provider: z.string(),
  phase: z.enum(machineStates),
  reason: reason.exactOptional(),
  failedStep: stepFailure.exactOptional(),
  evidence: z.array(evidence).exactOptional(),
  phases: z.array(phaseTime),
  waiting: quotaWait.exactOptional(),
});
const times = answer<LeaseTimes>({
  requested: instant,
  ready: instant.exactOptional(),
  expires: instant.exactOptional(),
  releasing: instant.exactOptional(),
  ended: instant.exactOptional(),
});
export const taskSummary = answer<TaskSummary>({
  taskId: z.string(),
  state: z.enum(taskStates),
  command,
  startedAt: instant.exactOptional(),
  result: taskResult.exactOptional(),
});

const advanced = z.looseObject({ bytes: count, tail: z.string() });
export const taskStatus = answer<TaskStatus>({
  taskId: z.string(),
  leaseId: z.string(),
  state: z.enum(taskStates),
  command,
  startedAt: instant.exactOptional(),
  stdout: advanced,
  stderr: advanced,
  result: taskResult.exactOptional(),
});

const bundle = answer<LeasedBundle>({
  name: z.string(),
  digest: z.string().exactOptional(),
  notice: z.string().exactOptional(),
});
const statusShape = {
  leaseId: z.string(),
  bundle,
  reason: reason.exactOptional(),
  attempts: z.array(attempt),
  times,
};
const leaseQueue = answer<LeaseQueue>({
  pool: z.string(),
  since: instant,
  place: z.int().exactOptional(),
  of: z.int().exactOptional(),
  estimateMs: z.number().exactOptional(),
  reason: reason.exactOptional(),
});
const notifyStatus = answer<NotifyStatus>({
  state: z.enum(notifyStates),
  since: instant,
  at: instant.exactOptional(),
  tries: count.exactOptional(),
  reason: reason.exactOptional(),
});
const leaseNotify = answer<LeaseNotify>({
  to: z.string(),
  ready: notifyStatus.exactOptional(),
  ended: notifyStatus.exactOptional(),
});
export const leaseStatus = answer<LeaseStatus>({
  ...statusShape,
  state: z.enum(leaseStates),
  owner: z.string().exactOptional(),
  queue: leaseQueue.exactOptional(),
  access: access.exactOptional(),
  tasks: z.array(taskSummary),
  collected: z.array(collectedFile).exactOptional(),
  parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).exactOptional(),
  metadata: texts.exactOptional(),
  notify: leaseNotify.exactOptional(),
  refused: z.array(z.string()).exactOptional(),
});
export const leaseResult = answer<LeaseResult>({
  ...statusShape,
  state: z.enum(leaseEndStates),
  job: taskResult.exactOptional(),
  collected: z.array(collectedFile).exactOptional(),
});

/** The body of a call to a dispatcher. */
export const notification: z.ZodType<Notification> = z.union([
  answer<Extract<Notification, { type: 'lease.ready' }>>({
    type: z.literal('lease.ready'),
    timestamp: instant,
    data: leaseStatus,
  }),
  answer<Extract<Notification, { type: 'lease.ended' }>>({
    type: z.literal('lease.ended'),
    timestamp: instant,
    data: leaseResult,
  }),
]);

const debt = z.looseObject({ kind: z.enum(debtKinds), key: z.string(), since: instant });
const poolOfMachine = z.looseObject({ name: z.string(), uses: count, retiring: z.string().exactOptional() });
const checkIn = answer<CheckInStatus>({
  at: instant,
  posts: count,
  source: z.string(),
  movedTo: z.string().exactOptional(),
  facts: texts,
  hostKeys: z.array(z.string()),
  result: z.int().exactOptional(),
  message: z.string().exactOptional(),
});
export const machineStatus = answer<MachineStatus>({
  machineId: z.string(),
  leaseId: z.string(),
  pool: poolOfMachine.exactOptional(),
  provider: z.string(),
  key: z.string(),
  phase: z.enum(machineStates),
  since: instant,
  deadline: instant.exactOptional(),
  generation: z.int(),
  bundle: z.looseObject({ name: z.string(), digest: z.string() }).exactOptional(),
  checkIn: checkIn.exactOptional(),
  access: access.exactOptional(),
  unrotated: z.string().exactOptional(),
  phases: z.array(phaseTime),
  debts: z.array(debt),
  taint: z.string().exactOptional(),
  decision: z.looseObject({ do: z.enum(reclaimPolicies), why: z.string(), at: instant }).exactOptional(),
  reason: reason.exactOptional(),
  forgotten: z.string().exactOptional(),
  takenOut: z.string().exactOptional(),
  evidence: z.array(evidence).exactOptional(),
  power: z
    .looseObject({
      action: z.enum(powerActions),
      at: instant,
      by: z.string().exactOptional(),
      underWay: z.boolean().exactOptional(),
    })
    .exactOptional(),
  step: z.looseObject({ index: z.int(), of: z.int(), title: z.string() }).exactOptional(),
  waiting: quotaWait.exactOptional(),
  owner: z.string().exactOptional(),
  quota: z.looseObject({ account: z.string(), cores: count, memoryMb: count }).exactOptional(),
  facts: texts,
});
