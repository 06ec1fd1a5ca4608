import { readFile } from 'node:fs/promises';
import type { Client } from '@temporalio/client';
import { leaseWorkflowId, machineWorkflowId } from '../src/domain/ids.ts';
import { awaitLease, countEvents, createLease, follow, release } from './measure.ts';
import { Samples } from './samples.ts';
import type { Row } from './stats.ts';
import type { BenchStack } from './stack.ts';

const atOnce = 50;
const idle = 500;
/** More would only queue in the embedded server. */
const idleAtOnce = 10;
const clockTicks = 100;

/** Many leases at one moment, each with a job. */
export async function crowd(stack: BenchStack, client: Client): Promise<readonly Row[]> {
  const samples = new Samples();
  const ids = Array.from({ length: atOnce }, (_, n) => `crowd-${n}`);
  // The first lease of a stack starts the provider's process.
  await createLease(stack, { leaseId: 'before-crowd' });
  await awaitLease(stack, 'before-crowd', 'ready');
  await release(stack, 'before-crowd');
  const cpuBefore = await cpuSeconds(stack);
  const startedMs = performance.now();
  await Promise.all(
    ids.map(async (leaseId) => {
      await createLease(stack, { leaseId, job: { command: ['echo', 'hello'] } });
      const following = follow(stack, leaseId, 'job');
      await awaitLease(stack, leaseId, 'ready');
      samples.add('ready', performance.now() - startedMs);
      samples.add('end', (await following).endMs - startedMs);
    }),
  );
  samples.add('rate', atOnce / (Math.max(...samples.of('end')) / 1_000));
  await Promise.all(ids.map((leaseId) => awaitLease(stack, leaseId, 'gone')));
  samples.add('cpu', ((await cpuSeconds(stack)) - cpuBefore) / atOnce);
  samples.add('memory', await memoryMib(await stack.workerPid()));
  for (const leaseId of ids) samples.add('events', await countEvents(client, leaseId));
  const of = (name: string): readonly number[] => samples.of(name);
  return [
    { name: `${atOnce} leases at once: served`, unit: 'leases/s', samples: of('rate'), budget: 5, least: true },
    { name: `${atOnce} leases at once: request → ready`, unit: 'ms', samples: of('ready') },
    { name: `${atOnce} leases at once: request → exit code`, unit: 'ms', samples: of('end') },
    { name: `${atOnce} leases at once: events of each`, unit: 'events', samples: of('events') },
    { name: `${atOnce} leases at once: CPU of the whole stack, each`, unit: 's', samples: of('cpu') },
    { name: `${atOnce} leases at once: memory of the worker`, unit: 'MiB', samples: of('memory') },
  ];
}

/** Leases that are ready and have nothing to do, for so many minutes. */
export async function idleLeases(stack: BenchStack, client: Client, minutes: number): Promise<readonly Row[]> {
  const samples = new Samples();
  const waiting = Array.from({ length: idle }, (_, n) => `idle-${n}`);
  const ids = [...waiting];
  const before = await memoryMib(await stack.workerPid());
  const each = async (what: (leaseId: string) => Promise<void>): Promise<void> => {
    const left = [...ids];
    const work = async (): Promise<void> => {
      for (let leaseId = left.pop(); leaseId !== undefined; leaseId = left.pop()) await what(leaseId);
    };
    await Promise.all(Array.from({ length: idleAtOnce }, work));
  };
  await each(async (leaseId) => {
    await createLease(stack, { leaseId, ttlMs: 86_400_000 });
    await awaitLease(stack, leaseId, 'ready');
  });
  const events = async (leaseId: string): Promise<number> => {
    const looks = [leaseWorkflowId(leaseId), machineWorkflowId(`${leaseId}.1`)].map((id) =>
      client.workflow.getHandle(id).describe(),
    );
    return (await Promise.all(looks)).reduce((sum, { historyLength }) => sum + historyLength, 0);
  };
  const had = new Map<string, number>();
  await each(async (leaseId) => void had.set(leaseId, await events(leaseId)));
  const sinceMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, minutes * 60_000));
  const hours = (performance.now() - sinceMs) / 3_600_000;
  samples.add('memory', (await memoryMib(await stack.workerPid())) - before);
  await each(async (leaseId) => {
    samples.add('events', ((await events(leaseId)) - (had.get(leaseId) ?? 0)) / hours);
  });
  await each((leaseId) => release(stack, leaseId));
  return [
    { name: `${idle} idle leases: memory of the worker more`, unit: 'MiB', samples: samples.of('memory') },
    {
      name: `${idle} idle leases: events an hour, each`,
      unit: 'events',
      samples: samples.of('events'),
      budget: 4,
      at: 'worst',
    },
  ];
}

/** What all processes of the stack have computed, so far. */
async function cpuSeconds(stack: BenchStack): Promise<number> {
  const ticks = await Promise.all(
    (await stack.pids()).map(async (pid) => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8');
      // The name may have spaces; the fields after it are counted from 3 on.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return Number(fields[11]) + Number(fields[12]);
    }),
  );
  return ticks.reduce((sum, more) => sum + more, 0) / clockTicks;
}

/** What it has in memory. */
async function memoryMib(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1_024;
}
