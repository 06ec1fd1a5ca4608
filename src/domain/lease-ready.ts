import { jobTaskId } from './ids.ts';
import type { LeaseLife } from './lease-life.ts';
import { acceptedTask } from './lease-task.ts';

/** Its machine is ready for it: its time counts from here, and its job is the first task. */
export function becameReady(life: LeaseLife, nowMs: number): LeaseLife {
  const ttlMs = life.request.ttlMs ?? life.plan?.ttlMs ?? 0;
  const ready: LeaseLife = {
    ...life,
    ...(life.machine ? { machine: { ...life.machine, phase: 'ready' } } : {}),
    readyMs: nowMs,
    expiresMs: nowMs + ttlMs,
  };
  const job = life.request.job;
  return job && !life.ending ? { ...ready, tasks: [...ready.tasks, acceptedTask(jobTaskId, job)] } : ready;
}
