import type { PoolListing } from '../../contract/pool-views.ts';
import type { LeaseQueue } from '../../domain/lease.ts';
import type { PoolMachineView, PoolStatus, PoolWaitingView } from '../../domain/pool-status.ts';
import { harmless, nothing, oneLine, table } from './table.ts';
import { clock, roundMs, spokenMs } from './units.ts';

export const poolTable = (pools: readonly PoolListing[]): string =>
  table(
    ['POOL', 'BUNDLE', 'STATE', 'WARM', 'TARGET', 'MAKING', 'LEASED', 'LEAVING', 'WAITING', 'CEILING', ''],
    pools.map(({ name, bundle, state, warm, target, making, leased, leaving, waiting, ceiling, reason }) => [
      name,
      bundle,
      state,
      ...[warm, target, making, leased, leaving, waiting, ceiling].map(String),
      reason ? oneLine(`${reason.type}: ${reason.message}`, 60) : '',
    ]),
  );

/** The whole of a pool, for `pool show`. */
export function poolStory(pool: PoolStatus, nowMs: number): string {
  const { name, bundle, state, reason, why, retryAt, target, ceiling, set, nextChange, typical } = pool;
  const byHand = set.target !== undefined || set.ceiling !== undefined ? ' (set by hand)' : '';
  const change = nextChange === undefined ? '' : ` · the schedule changes it at ${clock(nextChange)}`;
  const times = [
    typical.makeMs !== undefined && `made in ${spokenMs(typical.makeMs)}`,
    typical.useMs !== undefined && `leased for ${spokenMs(typical.useMs)}`,
    typical.leaveMs !== undefined && `gone after ${spokenMs(typical.leaveMs)}`,
  ].filter((text) => text !== false);
  return [
    `${name} · bundle ${bundle} · ${state}`,
    ...(reason
      ? [
          `  because   ${harmless(reason.message)} (${reason.type})${retryAt === undefined ? '' : ` · next try ${clock(retryAt)}`}`,
        ]
      : []),
    ...(why === undefined ? [] : [`  why       ${harmless(why)}`]),
    `  keeps     ${target} warm, ${ceiling} at most${byHand}${change}`,
    ...(times.length > 0 ? [`  typically ${times.join(', ')}`] : []),
    ...pool.machines.map((machine) => machineLine(machine, nowMs)),
    ...pool.waiting.map((waiting) => waitingLine(waiting, nowMs)),
    ...(pool.refused ?? []).map((text) => `  refused   ${harmless(text)}`),
  ].join('\n');
}

const machineLine = (machine: PoolMachineView, nowMs: number): string =>
  [
    `  machine   ${machine.machineId} · ${machine.provider} · ${machine.phase} ${roundMs(nowMs - Date.parse(machine.since))}`,
    machine.leaseId !== undefined && `lease ${machine.leaseId}`,
    machine.uses > 0 && `${machine.uses} ${machine.uses === 1 ? 'use' : 'uses'}`,
    machine.retiring !== undefined && harmless(machine.retiring),
  ]
    .filter(Boolean)
    .join(' · ');

const waitingLine = ({ leaseId, owner, place, since, estimateMs }: PoolWaitingView, nowMs: number): string =>
  `  waits     ${place}. lease ${leaseId} · owner ${owner} · for ${roundMs(nowMs - Date.parse(since))} · ${spokenEstimate(estimateMs)}`;

/** What is known is said, and nothing else. */
export const spokenEstimate = (estimateMs: number | undefined): string =>
  estimateMs === undefined ? 'no estimate yet' : `about ${spokenMs(estimateMs)} more`;

/** Where a lease stands that waits: `place 3 of 7 in pool web · about 40 s more`. */
export function spokenQueue({ pool, place, of, estimateMs, reason }: LeaseQueue): string {
  const at = place === undefined ? nothing : `${place}${of === undefined ? '' : ` of ${of}`}`;
  const because = reason ? ` · ${oneLine(reason.message, 80)} (${reason.type})` : '';
  return `place ${at} in pool ${pool} · ${spokenEstimate(estimateMs)}${because}`;
}
