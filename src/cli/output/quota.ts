import type { QuotaWait } from '../../domain/lease.ts';
import type { QuotaListing, QuotaStatus } from '../../domain/quota-status.ts';
import { harmless, nothing, table } from './table.ts';
import { clock, roundMs } from './units.ts';

const of = (used: number, limit: number | undefined): string => `${used}${limit === undefined ? '' : `/${limit}`}`;

const spokenRate = (rate: QuotaStatus['rate']): string =>
  rate === undefined
    ? nothing
    : `${rate.callsPerSecond}/s (${rate.pausedUntil === undefined ? `${rate.callsLeft} left` : `paused until ${clock(rate.pausedUntil)}`})`;

export const quotaTable = (quotas: readonly QuotaListing[]): string =>
  table(
    ['ACCOUNT', 'PROVIDERS', 'MACHINES', 'CORES', 'MEMORY MB', 'WAITING', 'COOLING', 'CALLS'],
    quotas.map(({ account, providers, quota, inUse, waiting, coolDowns, rate }) => [
      account,
      providers.join(', '),
      of(inUse.machines, quota.machines),
      of(inUse.cores, quota.cores),
      of(inUse.memoryMb, quota.memoryMb),
      String(waiting),
      String(coolDowns),
      spokenRate(rate),
    ]),
  );

/** The whole story of an account, for `quota show`. */
export function quotaStory(status: QuotaStatus, nowMs: number): string {
  const { account, quota, inUse, owners, held, waiting, coolDowns, rate, healed } = status;
  const { perOwner } = quota;
  const unreserved = held.filter(({ found }) => found).length;
  return [
    `${account} · machines ${of(inUse.machines, quota.machines)} · cores ${of(inUse.cores, quota.cores)} · memory ${of(inUse.memoryMb, quota.memoryMb)} MB`,
    ...(rate ? [`  calls     ${spokenRate(rate)}`] : []),
    ...owners.map(
      (each) =>
        `  owner     ${each.owner} · machines ${of(each.machines, perOwner?.machines)} · cores ${of(each.cores, perOwner?.cores)} · memory ${of(each.memoryMb, perOwner?.memoryMb)} MB · ${each.waiting} waiting`,
    ),
    ...held.map(
      ({ machineId, owner, cores, since, found, missing }) =>
        `  holds     ${machineId} · ${owner} · ${cores} cores · for ${roundMs(nowMs - Date.parse(since))}${found ? ' · found at the provider, never reserved' : ''}${missing ? ' · not seen at the provider' : ''}`,
    ),
    ...waiting.map(
      ({ machineId, owner, place, priority, why, since }) =>
        `  waits     ${place}. ${machineId} · ${owner}${priority === 0 ? '' : ` · priority ${priority}`} · for ${roundMs(nowMs - Date.parse(since))} · ${harmless(why)}`,
    ),
    ...coolDowns.map(({ place, until }) => `  cools     ${place} until ${clock(until)}`),
    ...(unreserved > 0 || healed > 0 ? [`  healed    ${healed} times by what the provider holds`] : []),
  ].join('\n');
}

/** `place 2 of 5 · account local: 8 of 8 cores in use (ci 6, ana 2)` */
export const spokenWait = ({ place, of: all, why }: QuotaWait): string =>
  `place ${place} of ${all} for quota · ${harmless(why)}`;
