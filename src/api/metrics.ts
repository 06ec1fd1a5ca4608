import type { Client } from '@temporalio/client';
import { isLeaseEnd } from '../contract/wait.ts';
import { workflowType } from '../contract/messages.ts';
import { isOver, leaseStates, machineStates } from '../domain/lease.ts';
import type { LedgerLine } from '../domain/ledger.ts';
import type { ApiDeps } from './deps.ts';
import { ledger } from './ledger.ts';
import type { Metric } from './prometheus.ts';
import { quickly } from './workflows.ts';

/** Read from Temporal at each scrape: but for guests' calls, nothing is counted here that a restart would forget. */
export async function metrics(
  deps: Pick<ApiDeps, 'client' | 'providers' | 'standing' | 'checkIns'>,
): Promise<readonly Metric[]> {
  const [lines, leases, machines, sending, failed] = await Promise.all([
    ledger(deps),
    openByState(
      deps.client,
      workflowType.lease,
      leaseStates.filter((state) => !isLeaseEnd(state)),
    ),
    openByState(
      deps.client,
      workflowType.machine,
      machineStates.filter((state) => !isOver(state)),
    ),
    notifications(deps.client, 'Running'),
    notifications(deps.client, 'Failed'),
  ]);
  const each = (valueOf: (line: LedgerLine) => number | undefined): Metric['samples'] =>
    lines.flatMap((line) => {
      const value = valueOf(line);
      return value === undefined ? [] : [{ labels: { provider: line.provider }, value }];
    });
  const gauge = (name: string, help: string, samples: Metric['samples']): Metric => ({
    name,
    help,
    type: 'gauge',
    samples,
  });
  return [
    gauge('slipway_leases', 'Open leases by state.', leases),
    gauge('slipway_machines', 'Open machines by the phase that people look for.', machines),
    gauge('slipway_notifications', 'Calls to dispatchers that are under way, or were given up.', [
      { labels: { state: 'sending' }, value: sending },
      { labels: { state: 'failed' }, value: failed },
    ]),
    gauge(
      'slipway_machines_owned',
      'Machines at the provider whose workflow is open.',
      each(({ owned }) => owned),
    ),
    gauge(
      'slipway_machines_orphaned',
      'What nobody owns at the provider.',
      each(({ orphaned }) => orphaned),
    ),
    gauge(
      'slipway_machines_stuck',
      'Machines that cannot be destroyed now.',
      each(({ stuck }) => stuck),
    ),
    gauge(
      'slipway_machines_forgotten',
      'Machines that a person gave up.',
      each(({ forgotten }) => forgotten),
    ),
    gauge(
      'slipway_machines_out',
      'Standing machines that are lent to nobody until somebody puts them back.',
      each(({ out }) => out),
    ),
    gauge(
      'slipway_machine_oldest_timestamp_seconds',
      'When the oldest machine at the provider was created.',
      each(({ oldest }) => secondsOf(oldest?.createdAt)),
    ),
    gauge(
      'slipway_sweep_last_look_timestamp_seconds',
      'When the provider was last swept.',
      each(({ look }) => secondsOf(look?.at)),
    ),
    gauge(
      'slipway_sweep_last_success_timestamp_seconds',
      'When the provider last gave a whole inventory.',
      each(({ lastGoodAt }) => secondsOf(lastGoodAt)),
    ),
    {
      name: 'slipway_orphans_reclaimed_total',
      help: 'Orphans whose end a scheduled sweep has begun.',
      type: 'counter',
      samples: each(({ reclaimed }) => reclaimed),
    },
    {
      name: 'slipway_check_ins_total',
      help: 'Calls of guests to this process, by what came of them.',
      type: 'counter',
      samples: [...(deps.checkIns ?? [])].map(([outcome, value]) => ({ labels: { outcome }, value })),
    },
  ];
}

const secondsOf = (instant: string | undefined): number | undefined =>
  instant === undefined ? undefined : Date.parse(instant) / 1_000;

const notifications = async (client: Client, status: 'Running' | 'Failed'): Promise<number> => {
  const query = `WorkflowType = '${workflowType.notify}' AND ExecutionStatus = '${status}'`;
  return (await quickly(client, () => client.workflow.count(query))).count;
};

const openByState = (client: Client, type: string, states: readonly string[]): Promise<Metric['samples']> =>
  Promise.all(
    states.map(async (state) => {
      const query = `WorkflowType = '${type}' AND ExecutionStatus = 'Running' AND SlipwayState = '${state}'`;
      return { labels: { state }, value: (await quickly(client, () => client.workflow.count(query))).count };
    }),
  );
