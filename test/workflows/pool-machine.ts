import { randomUUID } from 'node:crypto';
import {
  leaseWorkflowId,
  machineWorkflowId,
  poolMachineIdOf,
  poolWorkflowId,
  providerKey,
} from '../../src/domain/ids.ts';
import type { MachineStatus } from '../../src/domain/lease.ts';
import type { Hold, MachineInput } from '../../src/domain/machine.ts';
import type { LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';

/** Each look is a query, and dozens of tests look at once: more often, and they keep the server from its work. */
const lookEveryMs = 150;

export const name = (what: string): string => `${what}-${randomUUID().slice(0, 8)}`;

/** Machines of pools, without the pools. @param bench known when the first of them starts */
export function poolMachines(bench: () => LeaseBench) {
  /** A pool's machine alone; `holder` stands in for its pool, which hears what it tells. */
  async function startMachine(pool: string, holder: string, change: Partial<MachineInput> = {}) {
    const machineId = poolMachineIdOf(pool, 1);
    const world = bench().world(poolWorkflowId(pool));
    const input: MachineInput = {
      machineId,
      leaseId: '',
      pool: { name: pool },
      holder,
      provider: 'fake',
      variant: 0,
      birth: 'run',
      key: providerKey(machineId, 'run'),
      plan: world.plan,
      ttlMs: 60_000,
      tuning: world.tuning,
      ...change,
    };
    const handle = await bench().client.workflow.start('machine', {
      taskQueue: bench().taskQueue,
      workflowId: machineWorkflowId(machineId),
      args: [input],
    });
    const status = (): Promise<MachineStatus> => handle.query<MachineStatus>('status');
    /** When it does not come, how the machine stands and what came last to it. */
    const shows = async (what: string, is: (status: MachineStatus) => boolean): Promise<void> => {
      try {
        await until(what, async () => is(await status()), 60_000, lookEveryMs);
      } catch (error) {
        const { events } = await handle.fetchHistory();
        const last = (events ?? []).slice(-12).map((event) => {
          const kind = Object.keys(event).find((key) => key.endsWith('EventAttributes'));
          return `${kind?.replace('EventAttributes', '')} at ${String(event.eventTime?.seconds)}`;
        });
        throw new Error(`${machineId}: ${JSON.stringify(await status())}; its last events: ${last.join(', ')}`, {
          cause: error,
        });
      }
    };
    const inPhase = (phase: MachineStatus['phase']) => shows(`is ${phase}`, (now) => now.phase === phase);
    return { world, handle, status, inPhase, shows };
  }

  /** By another name: a lease gives back at once what comes to it and it has not asked for. */
  const earOf = (leaseId: string): string => `ear-of-${leaseId}`;
  /** One that goes on waiting for its own machine, and hears what others tell it. */
  async function listener(leaseId: string): Promise<Hold> {
    await bench().lease({ leaseId: earOf(leaseId) }, (world) => world.hold('createMachine'));
    return { leaseId, holder: leaseWorkflowId(earOf(leaseId)), ttlMs: 60_000 };
  }
  const close = async (leaseId: string): Promise<void> => {
    await bench()
      .client.workflow.getHandle(leaseWorkflowId(earOf(leaseId)))
      .signal('cancel', {});
  };

  return { startMachine, listener, close };
}
