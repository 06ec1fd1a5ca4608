import type { LeaseListing, LeaseView } from '../../contract/http.ts';
import { isLeaseEnd } from '../../contract/wait.ts';
import { textParts, type Reason } from '../../domain/failure.ts';
import type { Attempt, PhaseTime, TaskSummary } from '../../domain/lease.ts';
import { notifyEvents, type LeaseNotify } from '../../domain/notify.ts';
import { shownWord } from '../../domain/shell-word.ts';
import type { TaskResult, TaskSpec } from '../../domain/task.ts';
import type { CollectedFile } from '../../domain/transfer.ts';
import { spokenQueue } from './pool.ts';
import { spokenWait } from './quota.ts';
import { harmless, nothing, oneLine, table } from './table.ts';
import { clock, roundMs, spokenBytes, spokenMs } from './units.ts';

export function leaseTable(leases: readonly LeaseListing[], nowMs: number): string {
  return table(
    ['LEASE', 'BUNDLE', 'STATE', 'MACHINE', 'AGE', 'EXPIRES', 'OWNER', 'TASKS'],
    leases.map((lease) => [
      lease.leaseId,
      lease.bundle ?? nothing,
      lease.state,
      lease.machineId ?? nothing,
      roundMs(nowMs - Date.parse(lease.requested)),
      lease.expires === undefined || isLeaseEnd(lease.state) ? nothing : roundMs(Date.parse(lease.expires) - nowMs),
      lease.owner ?? nothing,
      tasksCell(lease),
    ]),
  );
}

function tasksCell({ running = 0, tasks = 0 }: LeaseListing): string {
  if (running > 0) return `${running} running`;
  return tasks > 0 ? `${tasks} ended` : nothing;
}

/** `[ls, -l]` as a person would type it. */
export function spokenCommand(command: TaskSpec['command']): string {
  const text = 'shell' in command ? command.shell : command.map(shownWord).join(' ');
  return harmless(text).replaceAll('\n', '⏎');
}

/** Phases that took next to no time say nothing to anybody. */
const tellMs = 1;

const phaseLine = ({ phase, durationMs }: PhaseTime): string =>
  durationMs === undefined ? phase : `${phase} ${spokenMs(durationMs)}`;

const leaving: ReadonlySet<string> = new Set(['held', 'reclaiming', 'stuck', 'forgotten', 'gone']);

/** The way to ready, and what came after it. */
const split = (phases: readonly PhaseTime[]): readonly [string, string] => [
  timeline(phases.filter(({ phase }) => !leaving.has(phase))),
  timeline(phases.filter(({ phase }) => leaving.has(phase))),
];

export const timeline = (phases: readonly PhaseTime[]): string =>
  phases
    .filter(({ phase, durationMs }) => phase !== 'ready' && phase !== 'gone' && (durationMs ?? tellMs) >= tellMs)
    .map(phaseLine)
    .join(' ▸ ');

/** The whole story of a lease, for `lease show`. */
export function leaseStory(lease: LeaseView, nowMs: number): string {
  const { leaseId, bundle, state, times, attempts, tasks, reason, access, machine, owner } = lease;
  const name = bundle.digest === undefined ? bundle.name : `${bundle.name}@${bundle.digest.slice(0, 6)}`;
  const open = !isLeaseEnd(state);
  const expires =
    open && times.expires
      ? ` · expires ${clock(times.expires)} (in ${roundMs(Date.parse(times.expires) - nowMs)}; slipway lease extend ${leaseId} --by 1h)`
      : '';
  const last = attempts.at(-1);
  const [way, after] = split(last?.phases ?? []);
  const lines = [
    `${leaseId} · ${name} · ${state}${expires}${owner === undefined ? '' : ` · owner ${owner}`}`,
    ...(reason ? because(reason) : []),
    `  ${[
      `requested ${clock(times.requested)}`,
      way,
      times.ready && `ready ${clock(times.ready)}`,
      after,
      times.ended && `${state} ${clock(times.ended)}`,
    ]
      .filter(Boolean)
      .join(' ▸ ')}`,
    ...(lease.queue ? [`  waits     ${spokenQueue(lease.queue)}`] : []),
    ...(last?.waiting ? [`  waits     ${spokenWait(last.waiting)}`] : []),
    ...(attempts.length > 1 || last?.reason ? attempts.map(attemptLine) : []),
    ...(machine
      ? [
          `  machine   ${machine.machineId} · ${machine.provider} · ${machine.phase}${access ? ` · ${access.address}:${access.port} · key ${access.fingerprint}` : ''}`,
        ]
      : []),
    ...tasks.map((task, n) => `  ${n === 0 ? 'tasks    ' : '         '} ${taskLine(task, nowMs)}`),
    ...(lease.collected ?? []).map((file) => `  collected ${collectedLine(file)}`),
    ...(lease.parameters ? [`  with      ${harmless(spokenParameters(lease.parameters))}`] : []),
    ...(open && access ? [`  ssh       slipway lease ssh ${leaseId}`] : []),
    ...(bundle.notice === undefined ? [] : [`  bundle    ${harmless(bundle.notice)}`]),
    ...(lease.notify ? [`  notify    ${harmless(spokenNotify(lease.notify))}`] : []),
    ...(lease.refused ?? []).map((text) => `  refused   ${harmless(text)}`),
  ];
  return lines.join('\n');
}

/** `~/report.xml · 1.2 KiB`, or why it is not here. */
export function collectedLine(file: CollectedFile): string {
  if ('reason' in file) return `${harmless(file.path)}  not: ${harmless(textParts(file.reason.message).message)}`;
  const tree = file.tree ? ' as an archive' : '';
  return `${harmless(file.path)} · ${spokenBytes(file.bytes)}${tree}${file.changed ? ' · changed while it was read' : ''}`;
}

/** `https://hooks.example.com · ready told 12:00:01 · ended is being told, tries: 2: …`. */
function spokenNotify({ to, ...events }: LeaseNotify): string {
  const told = notifyEvents.flatMap((event) => {
    const call = events[event];
    if (!call) return [];
    const why = call.reason ? `: ${oneLine(textParts(call.reason.message).message, 160)}` : '';
    if (call.state === 'sent') return [`${event} told ${clock(call.at ?? call.since)}`];
    return call.state === 'failed'
      ? [`${event} not told${why}`]
      : [`${event} is being told${call.tries ? `, tries: ${call.tries}${why}` : ''}`];
  });
  return [to, ...told].join(' · ');
}

function because(reason: Reason): readonly string[] {
  const { message, hint } = textParts(reason.message);
  return [
    `  because   ${harmless(message)} (${reason.type})`,
    ...(hint === undefined ? [] : [`  try       ${harmless(hint)}`]),
  ];
}

const spokenParameters = (values: NonNullable<LeaseView['parameters']>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');

export function attemptLine(attempt: Attempt, n: number): string {
  const { machineId, provider, phase, reason, failedStep } = attempt;
  const failed = attempt.phases.findLast(
    ({ phase: each }) => !['reclaiming', 'stuck', 'forgotten', 'gone'].includes(each),
  )?.phase;
  const how = failedStep
    ? `${failed ?? ''}  \`${harmless(failedStep.title)}\`  ${failedStep.exitCode === null ? oneLine(textParts(failedStep.message ?? 'failed').message, 160) : `exit ${failedStep.exitCode}`}`
    : `${failed ?? ''}  ${oneLine(textParts(reason?.message ?? '').message, 160)}`;
  return `    attempt ${n + 1}  ${provider}   machine ${machineId}   ${how.trim()}   ${phase === 'gone' ? 'seen gone' : phase}`.trimEnd();
}

export function taskLine(task: TaskSummary, nowMs: number): string {
  const { result } = task;
  const how = result
    ? `${endOf(result)} · ${spokenMs(result.durationMs)}`
    : task.startedAt
      ? `${task.state} ${roundMs(nowMs - Date.parse(task.startedAt))}`
      : task.state;
  const sizes = result
    ? `   stdout ${spokenBytes(result.stdout.bytes)}  stderr ${spokenBytes(result.stderr.bytes)}`
    : '';
  return `${task.taskId}  ${how}  ${spokenCommand(task.command)}${sizes}`;
}

/** `exit 7`, `time limit`, `cancelled`, `lost`. */
export function endOf(result: TaskResult): string {
  if (result.timedOut) return 'stopped at its time limit';
  if (result.cancelled) return result.startedAt === null ? 'cancelled before it began' : 'cancelled';
  if (result.lost) return 'lost';
  return `exit ${result.exitCode ?? 'unknown'}`;
}

/** The closing line of a job. */
export function jobSummary(result: TaskResult): string {
  const size = (name: 'stdout' | 'stderr'): string =>
    `${name} ${spokenBytes(result[name].bytes)}${result[name].cut ? ` (kept ${spokenBytes(result[name].keptBytes)})` : ''}`;
  // Of a lost one the reason is told apart.
  const why = result.lost || result.reason === undefined ? [] : [result.reason];
  return [endOf(result), spokenMs(result.durationMs), size('stdout'), size('stderr'), ...why].join(' · ');
}
