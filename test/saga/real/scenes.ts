import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import {
  fileWorkflowId,
  keyWorkflowId,
  leaseWorkflowId,
  machineWorkflowId,
  notifyWorkflowId,
  taskWorkflowId,
} from '../../../src/domain/ids.ts';
import type { LeaseRequest, MachineStatus } from '../../../src/domain/lease.ts';
import type { ActivityName } from '../../support/fake-world.ts';
import { sha256, type TestStack } from '../../support/stack.ts';
import { until } from '../../support/until.ts';
import type { Side } from '../cells.ts';

export const stages = ['early', 'late', 'last'] as const;
export type Stage = (typeof stages)[number];

/** How a stack comes to a call of an activity that is held there, and what it must come to after its worker was killed. */
export interface Scene {
  /** Declared with a pool of its own, of this reclaim policy. */
  readonly pool?: 'destroy' | 'reload' | 'reset';
  /** A text that only the input of the call that is meant has. */
  readonly text: (id: string, side: Side) => string;
  readonly reach?: (stack: TestStack, id: string, side: Side) => Promise<unknown>;
  /** When its call comes: `late` where it is given up soon, also while it waits for its turn behind all others; `last` inside a workflow task, which waits for nobody. */
  readonly stage?: Exclude<Stage, 'early'>;
  readonly finish: (stack: TestStack, id: string, side: Side) => Promise<void>;
}

/** All cells are on their way at once. */
const reachMs = 150_000;
const run = 'echo run >> $HOME/runs; cat $HOME/runs';
const counting =
  'i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; echo oops $i >&2; [ $((i % 10)) -eq 0 ] && sleep 0.05; done';
/** Known in advance; a second run of it would tell so in its first lines. */
export const job = { command: ['sh', '-c', `${run}; ${counting}; exit 7`] };
const lines = (word: string): string => Array.from({ length: 60 }, (_, n) => `${word} ${n + 1}\n`).join('');

const ofLease = (id: string): string => `"leaseId":"${id}"`;
const ofPooled = (id: string): string => `"machineId":"${id}+1"`;
const open = (stack: TestStack, leaseId: string, request: Omit<LeaseRequest, 'leaseId'>) =>
  stack.create({ leaseId, ...request });

/** The job has run once, every byte of it came once, its exit is true, and its one machine is gone. */
async function whole(stack: TestStack, leaseId: string): Promise<void> {
  const { out, err, result } = await stack.follow(leaseId);
  expect(sha256(out)).toBe(sha256(`run\n${lines('line')}`));
  expect(sha256(err)).toBe(sha256(lines('oops')));
  expect(result).toMatchObject({ state: 'exited', exitCode: 7 });
  const { state, attempts } = await stack.wait(leaseId, 'gone');
  expect([state, attempts.length]).toEqual(['released', 1]);
}

const withJob = (bundle = 'whole', request: Partial<LeaseRequest> = {}): Scene => ({
  text: ofLease,
  reach: (stack, id) => open(stack, id, { bundle, job, ...request }),
  finish: whole,
});

async function held(stack: TestStack, id: string, bundle = 'bare'): Promise<void> {
  await open(stack, id, { bundle });
  await stack.wait(id, 'ready');
}
const heldWith = (then: Scene['reach'], finish: Scene['finish']): Scene => ({
  text: ofLease,
  reach: async (stack, id, side) => {
    await held(stack, id);
    await then?.(stack, id, side);
  },
  finish: async (stack, id, side) => {
    await finish(stack, id, side);
    await stack.post(`/v1/leases/${id}/release`);
    expect((await stack.wait(id, 'gone')).state).toBe('released');
  },
});

const longTask = { command: ['sh', '-c', `${run}; sleep 600`], graceMs: 2_000 };
async function running(stack: TestStack, id: string, taskId = 'a'): Promise<void> {
  await stack.runTask(id, taskId, longTask);
  await until(`${id}/${taskId} runs`, async () => (await stack.output(id, taskId, 'stdout')).length > 0, reachMs);
}
/** Its output as far as it came is that of one run. */
async function ranOnce(stack: TestStack, id: string, taskId = 'a'): Promise<void> {
  expect((await stack.output(id, taskId, 'stdout')).toString()).toBe('run\n');
}

const temporal = ({ client }: TestStack, workflowId: string) => client.workflow.getHandle(workflowId);
const begin = (stack: TestStack, type: string, workflowId: string, input: unknown) =>
  stack.client.workflow.start(type, { taskQueue: 'slipway', workflowId, args: [input] });
/** A watch that died with its worker is missed after a minute, and sees no end while a sweep reclaims under the same id. */
const lost = (stack: TestStack, id: string): Promise<void> =>
  until(`${id} has failed`, async () => (await stack.get(id)).state === 'failed', 240_000, 500);

const ed25519 = Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from('ssh-ed25519'),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32, 7),
]);
const publicKey = `ssh-ed25519 ${ed25519.toString('base64')} saga`;
const letIn = (stack: TestStack, id: string) =>
  begin(stack, 'key', keyWorkflowId(id, 'k'), { leaseId: id, publicKey, untilMs: Date.now() + 3_600_000 });
/** What logs in is in the file that the guest's sshd reads, or it is not. */
async function keyTakenOut(stack: TestStack, id: string): Promise<void> {
  const handle = temporal(stack, keyWorkflowId(id, 'k'));
  await handle.executeUpdate('letIn').catch(() => undefined); // it may be out already
  await handle.signal('leave').catch(() => undefined);
  await handle.result();
}

/** The ids of the calls that a dispatcher got, in its order; it keeps no test waiting for its end. */
const hooked: unknown[] = [];
const hookUrl = new Promise<string>((open) => {
  const server = createServer((request, answer) => {
    hooked.push(request.headers['webhook-id']);
    answer.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1', () => open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`));
  server.unref();
});

const bytes = Buffer.from('saga\n'.repeat(1_000));

/** A lease has the pool's one machine and gives it back. */
const used = async (stack: TestStack, id: string): Promise<void> => {
  await open(stack, `u-${id}`, { bundle: id, job });
  await whole(stack, `u-${id}`);
};
const renewing = (pool: 'reload' | 'reset'): Scene => ({ pool, text: ofPooled, reach: used, finish: useAgain });
/** Made good again, its pool's one machine serves the next lease. */
async function useAgain(stack: TestStack, id: string): Promise<void> {
  await open(stack, `v-${id}`, { bundle: id, job });
  await whole(stack, `v-${id}`);
}

const scenes: Readonly<Record<ActivityName, Scene>> = {
  resolveBundle: { ...withJob(), stage: 'last' },
  createMachine: withJob(),
  awaitRunning: withJob('slow'),
  awaitAccessible: withJob('slow'),
  runStep: withJob(),
  awaitGate: withJob(),
  followTask: withJob(),
  destroyMachine: withJob(),
  forgetSecrets: {
    text: ofLease,
    reach: async (stack, id) => {
      const init = { method: 'PUT', body: 'hush', headers: { 'content-type': 'application/octet-stream' } };
      await stack.call(`/v1/leases/${id}/secrets/T`, init);
      await open(stack, id, { bundle: 'bare', job: { ...job, secretEnv: { T: 'lease:T' } } });
    },
    finish: whole,
  },
  reserveQuota: withJob('many'),
  awaitQuota: {
    text: ofLease,
    reach: async (stack, id) => {
      await held(stack, `u-${id}`, id);
      await open(stack, id, { bundle: id, job });
    },
    finish: async (stack, id) => {
      await stack.post(`/v1/leases/u-${id}/release`);
      await whole(stack, id);
    },
  },
  watchMachine: {
    text: ofLease,
    reach: async (stack, id, side) => {
      await held(stack, id);
      if (side === 'after') await temporal(stack, leaseWorkflowId(id)).terminate('by hand');
    },
    finish: async (stack, id, side) => {
      if (side === 'before') await stack.post(`/v1/leases/${id}/release`);
      const cause = side === 'before' ? 'released' : 'leaseClosed';
      expect(await temporal(stack, machineWorkflowId(`${id}.1`)).result()).toMatchObject({ phase: 'gone', cause });
    },
  },
  gatherEvidence: {
    text: ofLease,
    stage: 'late',
    reach: (stack, id) => open(stack, id, { bundle: 'broken', attempts: 1 }),
    finish: async (stack, id) => {
      await stack.wait(id, 'gone');
      expect((await stack.get(id)).attempts).toMatchObject([{ phase: 'gone', failedStep: { exitCode: 3 } }]);
    },
  },
  powerMachine: {
    stage: 'late',
    ...heldWith(
      async (stack, id) => {
        const machine = temporal(stack, machineWorkflowId(`${id}.1`));
        await machine.startUpdate('power', { args: [{ action: 'reset' }], waitForStage: 'ACCEPTED' });
      },
      async (stack, id) => {
        const machine = temporal(stack, machineWorkflowId(`${id}.1`));
        await until(`${id} was reset`, async () => {
          const { power } = await machine.query<MachineStatus>('status');
          return power?.action === 'reset' && power.underWay !== true;
        });
        // Booted anew, and the same machine.
        await stack.runTask(id, 'look', { command: ['echo', 'up'] });
        expect((await stack.follow(id, 'look')).out.toString()).toBe('up\n');
      },
    ),
  },
  killTask: heldWith(
    async (stack, id) => {
      await running(stack, id);
      await stack.post(`/v1/leases/${id}/tasks/a/cancel`);
    },
    async (stack, id) => {
      expect(await temporal(stack, taskWorkflowId(id, 'a')).result()).toMatchObject({ state: 'cancelled' });
      await ranOnce(stack, id);
    },
  ),
  abandonTask: {
    text: ofLease,
    reach: async (stack, id) => {
      await open(stack, id, { bundle: 'bare', job: longTask, attempts: 1 });
      const hasSaid = async (): Promise<boolean> =>
        (await stack.output(id, 'job', 'stdout').catch(() => '')).length > 0;
      await until(`${id} runs`, hasSaid, reachMs);
      await temporal(stack, machineWorkflowId(`${id}.1`)).terminate('by hand');
    },
    finish: async (stack, id) => {
      await lost(stack, id);
      expect(await temporal(stack, taskWorkflowId(id, 'job')).result()).toMatchObject({
        state: 'lost',
        exitCode: null,
      });
      await ranOnce(stack, id, 'job');
    },
  },
  moveFile: heldWith(
    async (stack, id) => {
      const order = { put: { blob: await stack.blob(bytes), path: '~/saga' } };
      await begin(stack, 'file', fileWorkflowId(id, 'f'), { leaseId: id, fileId: 'f', order });
    },
    async (stack, id) => {
      await temporal(stack, fileWorkflowId(id, 'f')).result();
      await stack.runTask(id, 'look', { command: ['sh', '-c', 'cat $HOME/saga'] });
      expect(sha256((await stack.follow(id, 'look')).out)).toBe(sha256(bytes));
    },
  ),
  notify: {
    text: ofLease,
    reach: async (stack, id) => {
      const target = { url: await hookUrl, secret: 'hook' };
      const body = { type: 'lease.ready', timestamp: new Date().toISOString(), data: {} };
      const notice = { leaseId: id, event: 'ready', webhookId: id, target, body };
      await begin(stack, 'notify', notifyWorkflowId(id, 'ready'), notice);
    },
    finish: async (stack, id, side) => {
      expect(await temporal(stack, notifyWorkflowId(id, 'ready')).result()).toMatchObject({ status: 204 });
      expect(hooked.filter((webhookId) => webhookId === id).length).toBe(side === 'before' ? 1 : 2);
    },
  },
  letKeyIn: heldWith(letIn, keyTakenOut),
  takeKeyOut: heldWith(async (stack, id) => {
    const handle = await letIn(stack, id);
    await handle.executeUpdate('letIn');
    await handle.signal('leave');
  }, keyTakenOut),
  claimMachine: {
    pool: 'destroy',
    text: ofLease,
    reach: (stack, id) => open(stack, id, { bundle: id, job }),
    finish: whole,
  },
  watchClaim: {
    pool: 'destroy',
    text: ofLease,
    reach: async (stack, id, side) => {
      await held(stack, `u-${id}`, id);
      await open(stack, id, { bundle: id, job });
      await until(
        `${id} waits for its turn`,
        async () => {
          const { waiting } = await stack.json<{ waiting: readonly unknown[] }>(`/v1/pools/${id}`);
          return waiting.length > 0;
        },
        reachMs,
      );
      if (side === 'after') await temporal(stack, `pool/${id}`).terminate('by hand');
    },
    finish: async (stack, id) => {
      await stack.post(`/v1/leases/u-${id}/release`);
      await whole(stack, id);
    },
  },
  watchChildren: {
    pool: 'destroy',
    text: (id) => `machine/${id}+1"`,
    reach: async (stack, id, side) => {
      await held(stack, id, id);
      if (side === 'after') await temporal(stack, machineWorkflowId(`${id}+1`)).terminate('by hand');
    },
    finish: async (stack, id, side) => {
      if (side === 'after') return lost(stack, id);
      await stack.post(`/v1/leases/${id}/release`);
      expect((await stack.wait(id, 'gone')).state).toBe('released');
    },
  },
  takeBaseline: { pool: 'reset', text: ofPooled, finish: useAgain },
  inspectMachine: renewing('reload'),
  reloadMachine: renewing('reload'),
  resetGuest: renewing('reset'),
  planSchedule: {
    stage: 'last',
    text: (_, side) => `${side === 'before' ? 1 : 2} 3 * * *`,
    // Its pool is declared then.
    finish: (stack, id) =>
      until(`pool ${id} knows its schedule`, async () => {
        const { state } = await stack.json<{ state: string }>(`/v1/pools/${id}`);
        return state === 'open';
      }),
  },
  sweepProviders: {
    text: (_, side) => `"graceMs":${side === 'before' ? 1 : 2}`,
    reach: (stack, id, side) =>
      begin(stack, 'sweep', `sweep/${id}`, { reclaim: true, graceMs: side === 'before' ? 1 : 2 }),
    finish: async (stack, id) => {
      expect(await temporal(stack, `sweep/${id}`).result()).toMatchObject({ providers: expect.any(Array) });
      // A quota that is waking up with all others may not have answered it: what one could not look at, the next does.
      const next = () => stack.json<{ failures: unknown }>('/v1/sweep', { method: 'POST', body: '{}' });
      await until('a sweep looks at all', async () => isDeepStrictEqual((await next()).failures, []), reachMs, 500);
    },
  },
};

/** Those that a type of providers can come to, and why not the others. */
export function scenesOn(type: string): {
  readonly scenes: Readonly<Partial<Record<ActivityName, Scene>>>;
  readonly left: Readonly<Partial<Record<ActivityName, string>>>;
} {
  if (type !== 'static') return { scenes, left: {} };
  const { reloadMachine: _, ...rest } = scenes;
  return {
    scenes: { ...rest, inspectMachine: renewing('reset') },
    left: { reloadMachine: 'a pool cannot have a standing machine made anew' },
  };
}
