import type { QuotaStatus } from '../domain/quota-status.ts';
import type { Access, LeaseStatus, MachineStatus, PhaseTime, TaskStatus } from '../domain/lease.ts';
import { poolStateOf } from '../domain/pool-status.ts';
import { ceilingOf, targetOf, type PoolLife, type PoolMachine } from '../domain/pool.ts';

/** Markdown for the Temporal UI: the story of a workflow without our tools, with the bodies of the signals to send. */
export function machineDetails(status: MachineStatus, refused: readonly string[]): string {
  return lines(
    `**${status.machineId}** on ${status.provider} is **${status.phase}** since ${status.since}`,
    status.deadline && `by itself over at ${status.deadline}`,
    ...(status.access ? wayIn(status.access) : []),
    status.unrotated !== undefined && `it keeps the host key that it was given: ${status.unrotated}`,
    status.power && powerLine(status.power),
    status.step && `step ${status.step.index + 1} of ${status.step.of}: ${status.step.title}`,
    status.reason && `${status.reason.type}: ${status.reason.message}`,
    status.forgotten !== undefined && `given up: ${status.forgotten}`,
    status.takenOut !== undefined && `taken out: ${status.takenOut}`,
    timesOf(status.phases),
    status.debts.length > 0 && `owes ${status.debts.map((debt) => `${debt.kind} \`${debt.key}\``).join(', ')}`,
    status.phase === 'stuck' && 'it is tried again for ever; update `forget` with `{"reason": "…"}` gives it up',
    status.phase === 'readying' && 'signal `markReady` with `{"result": 0}` when a person decides',
    refused.length > 0 && `refused: ${refused.slice(-5).join(' · ')}`,
  );
}

export function leaseDetails(status: LeaseStatus): string {
  const open = ['acquiring', 'ready', 'working', 'held'].includes(status.state);
  return lines(
    `**${status.leaseId}** · bundle ${status.bundle.name} · **${status.state}**`,
    status.bundle.notice,
    status.queue &&
      `waits for pool ${status.queue.pool}${placeOf(status.queue)}${status.queue.reason ? `: ${status.queue.reason.message}` : ''}`,
    status.times.expires && `expires ${status.times.expires}`,
    ...(status.access
      ? [`machine ${status.access.machineId}: \`slipway lease ssh ${status.leaseId}\``, ...wayIn(status.access)]
      : []),
    ...status.attempts.map(
      (attempt, n) =>
        `attempt ${n + 1}: ${attempt.machineId} on ${attempt.provider}, ${attempt.phase}${attempt.reason ? ` (${attempt.reason.message})` : ''}${attempt.waiting ? `, waits for account ${attempt.waiting.account}${placeOf(attempt.waiting)}: ${attempt.waiting.why}` : ''}`,
    ),
    ...status.tasks.map(
      (task) => `task ${task.taskId}: ${task.state}${task.result ? `, exit ${task.result.exitCode ?? 'unknown'}` : ''}`,
    ),
    ...(status.collected ?? []).map((file) =>
      'reason' in file
        ? `not collected: ${file.path} (${file.reason.message})`
        : `collected: ${file.path}, ${file.bytes} B`,
    ),
    status.reason && `${status.reason.type}: ${status.reason.message}`,
    status.notify && `tells ${status.notify.to} when it is ready, and when it has ended`,
    status.state === 'acquiring' &&
      'signal `markReady` with `{"result": 0}` says that the machine is ready (bundles with `ready: manual`)',
    open && 'signal `cancel` with `{"reason": "…"}` stops its tasks and gives the machine back',
    open && 'update `release` with `{}` gives the machine back',
    ...(status.refused ?? []).map((text) => `refused: ${text}`),
  );
}

export function taskDetails(status: TaskStatus): string {
  return lines(
    `**${status.taskId}** of lease ${status.leaseId} is **${status.state}**`,
    `stdout ${status.stdout.bytes} B · stderr ${status.stderr.bytes} B`,
    status.result && `exit ${status.result.exitCode ?? 'unknown'} after ${status.result.durationMs} ms`,
    !status.result && 'signal `cancel` with `{"reason": "…"}` stops it',
  );
}

export function quotaDetails(status: QuotaStatus, refused: readonly string[]): string {
  const { account, inUse, held, waiting, owners, coolDowns } = status;
  return lines(
    `account **${account}**: ${held.length} machines, ${inUse.cores} cores, ${inUse.memoryMb} MB`,
    `allowed: \`${JSON.stringify(status.quota)}\``,
    ...owners.map(
      (each) => `owner ${each.owner}: ${each.machines} machines, ${each.cores} cores, ${each.waiting} wait`,
    ),
    ...waiting.slice(0, waitersShown).map((each) => `${each.place}. ${each.machineId} of ${each.owner}: ${each.why}`),
    waiting.length > waitersShown && `and ${waiting.length - waitersShown} more`,
    ...coolDowns.map(({ place, until }) => `${place} cools down until ${until}`),
    refused.length > 0 && `refused: ${refused.slice(-5).join(' · ')}`,
  );
}
const waitersShown = 10;

/** At each change, so it counts and orders nobody. */
export function poolDetails(life: PoolLife, nowMs: number): string {
  const { settings } = life.declared;
  const count = (phase: PoolMachine['phase']): number =>
    life.machines.filter((machine) => machine.phase === phase).length;
  const phases = (['warm', 'making', 'leased', 'leaving', 'stuck'] as const).map((phase) => `${count(phase)} ${phase}`);
  const reason = life.failing?.reason ?? life.declared.reason;
  return lines(
    `**pool ${life.name}** of bundle ${settings.bundle} is **${poolStateOf(life)}** · target ${targetOf(life, nowMs)} · ceiling ${ceilingOf(life)}`,
    phases.join(' · '),
    life.waiting.length > 0 && `${life.waiting.length} leases wait`,
    reason && `${reason.type}: ${reason.message}`,
    life.why && `because ${life.why}`,
    'updates: `set` with `{"target": 3}` or `{"reset": true}` · `drain` with `{"reason": "…"}`',
    ...life.refused.map((text) => `refused: ${text}`),
  );
}

const powerLine = ({ action, at, by, underWay }: NonNullable<MachineStatus['power']>): string =>
  `power ${action} at ${at}${by === undefined ? '' : ` by ${by}`}${underWay ? ', under way' : ''}`;

const placeOf = ({ place, of }: { readonly place?: number; readonly of?: number }): string =>
  place === undefined ? '' : `, place ${place}${of === undefined ? '' : ` of ${of}`}`;

const timesOf = (phases: readonly PhaseTime[]): string =>
  phases
    .filter((time) => time.durationMs !== undefined)
    .map((time) => `${time.phase} ${time.durationMs} ms`)
    .join(' ▸ ');

/** A heading, and a list: paragraphs stand far apart there. */
const lines = (head: string, ...parts: readonly (string | false | undefined)[]): string =>
  [`${head}\n`, ...parts.filter(Boolean).map((part) => `- ${part}`)].join('\n');

/** How to come in; the key stands alone, for its column is narrow. */
const wayIn = ({ user, address, port, fingerprint, pin }: Omit<Access, 'machineId'>): readonly string[] => [
  `${user}@${address} port ${port}`,
  `host key \`${fingerprint}\`${pin === undefined ? '' : `, ${pin}`}`,
];
