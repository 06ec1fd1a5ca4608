import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LeaseRequest, MachinePhase } from '../../src/domain/lease.ts';
import { makeChangedBuild } from '../support/changed-build.ts';
import { alive, dist, freshId, sha256, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

/** `SLIPWAY_OLD_DIST`: the folder `dist` of an older build, to upgrade from that one. */
const old = process.env['SLIPWAY_OLD_DIST'] ?? dist;
let next: Awaited<ReturnType<typeof makeChangedBuild>>;
let folder: string;
let stack: TestStack;

const scriptOf = (name: 'worker' | 'api'): string => join(folder, `${name}.mjs`);
/** From the next start on: what the supervisor runs is one line that names a build. */
async function install(build: string): Promise<void> {
  for (const name of ['worker', 'api'] as const)
    await writeFile(scriptOf(name), `await import(${JSON.stringify(join(build, name, 'main.js'))});\n`);
}

beforeAll(async () => {
  next = await makeChangedBuild();
  folder = await mkdtemp(join(tmpdir(), 'slipway-upgrade-'));
  await install(old);
  const entries = { worker: scriptOf('worker'), api: scriptOf('api') };
  stack = await startTestStack({ bundles: { steps, manual, bare }, entries });
});
afterEach(() => stack.knobs({}));
afterAll(async () => {
  await stack.stop();
  await next.remove();
  await rm(folder, { recursive: true, force: true });
});

const bare = 'variants:\n  - provider: local\n';
const steps = `${bare}commands:\n  - run: [sh, -c, 'echo step >> $HOME/steps']\n    title: count me\n`;
const manual = `${bare}ready: manual\n`;
const script100 = 'i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; sleep 0.05; done; exit 7';
const lines100 = Array.from({ length: 100 }, (_, n) => `line ${n + 1}\n`).join('');

const phaseOf = async (leaseId: string): Promise<MachinePhase | undefined> =>
  (await stack.json<{ phase: MachinePhase }>(`/v1/machines/${leaseId}.1`).catch(() => undefined))?.phase;

/** Opens a lease and waits until its machine is there. */
async function leaseIn(phase: MachinePhase, request: Omit<LeaseRequest, 'leaseId'>): Promise<string> {
  const leaseId = freshId(phase);
  await stack.create({ leaseId, ...request });
  await until(`${leaseId} is ${phase}`, async () => (await phaseOf(leaseId)) === phase);
  return leaseId;
}

/** The supervisor's, whichever worker has told last that it is ready. */
async function workerPid(): Promise<number | undefined> {
  const text = await readFile(join(stack.state, 'run', 'children.json'), 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { worker?: { pid: number } }).worker?.pid;
}

/** Another worker takes over. */
async function restartWorker(): Promise<void> {
  const before = await workerPid();
  if (before === undefined) throw new Error('no worker runs');
  process.kill(before, 'SIGKILL');
  await until('another worker runs', async () => {
    const now = await stack.pidOf('worker');
    return now !== undefined && now !== before && now === (await workerPid()) && alive(now);
  });
}

/** The histories of a lease and of all that it started, over every run. */
async function eventsOf(leaseId: string) {
  const ids = [`lease/${leaseId}`, `machine/${leaseId}.1`, `task/${leaseId}/job`];
  const events = [];
  for (const workflowId of ids) {
    for await (const row of stack.client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
      const history = await stack.client.workflow.getHandle(workflowId, row.runId).fetchHistory();
      events.push(...(history.events ?? []));
    }
  }
  return events;
}
const failedTasks = async (leaseId: string): Promise<string[]> =>
  (await eventsOf(leaseId)).flatMap(({ workflowTaskFailedEventAttributes: failed }) =>
    failed ? [failed.failure?.message ?? ''] : [],
  );
/** Pids of the workers that went its way. */
const workersOf = async (leaseId: string): Promise<string[]> =>
  (await eventsOf(leaseId)).flatMap(({ workflowTaskCompletedEventAttributes: done }) =>
    done ? [done.identity?.split('@')[0] ?? ''] : [],
  );
const beganNewWays = async (leaseId: string): Promise<boolean> =>
  (await eventsOf(leaseId)).some(({ markerRecordedEventAttributes: marker }) => marker?.markerName === 'core_patch');

async function expectJobOnce(leaseId: string): Promise<void> {
  const { out, result } = await stack.follow(leaseId);
  expect(sha256(out)).toBe(sha256(lines100));
  expect(result).toMatchObject({ state: 'exited', exitCode: 7 });
}

describe('a stack of the next version', () => {
  it('takes over from the old one: leases open in every phase go on, and nothing is left', async () => {
    const job = { command: ['sh', '-c', script100] };
    const ready = await leaseIn('ready', { bundle: 'bare' });
    const reclaiming = await leaseIn('ready', { bundle: 'bare' });
    const held = await leaseIn('ready', { bundle: 'bare', job: { command: ['false'] }, holdOnFailureMs: 600_000 });
    await until('the job has failed', async () => (await stack.get(held)).state === 'held');
    const readying = await leaseIn('readying', { bundle: 'manual' });
    const working = await leaseIn('ready', { bundle: 'steps', job });
    await until('the job runs', async () => (await stack.get(working)).state === 'working');
    // Each gate is shut beside those before it; who is past one already does not meet it.
    const gates: Record<string, unknown> = { destroy: 'before' };
    await stack.knobs({ gates });
    await stack.post(`/v1/leases/${reclaiming}/release`);
    await until('it is reclaimed', async () => (await phaseOf(reclaiming)) === 'reclaiming');
    const onTheWay: string[] = [];
    for (const [phase, gate] of [
      ['customizing', { exec: true, command: 'slipway' }],
      ['waiting', { login: true }],
      ['loading', { boot: true }],
      ['provisioning', { create: 'before' }],
    ] as const) {
      Object.assign(gates, gate);
      await stack.knobs({ gates });
      onTheWay.push(await leaseIn(phase, { bundle: 'steps', job }));
    }

    // As an operator does it: the stack ends, and the next version starts it again.
    await stack.killSupervisor();
    await install(next.dist);
    await stack.restart();
    await stack.knobs({});

    for (const leaseId of [working, ...onTheWay]) await expectJobOnce(leaseId);
    await stack.post(`/v1/leases/${readying}/ready`);
    expect((await stack.wait(readying, 'ready')).state).toBe('ready');
    for (const leaseId of [readying, ready, held]) await stack.post(`/v1/leases/${leaseId}/release`);
    const all = [ready, reclaiming, held, readying, working, ...onTheWay];
    for (const leaseId of all) expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    expect(await stack.machinesLeft()).toEqual([]);
    for (const leaseId of all) expect(await failedTasks(leaseId)).toEqual([]);
    // What was left of their way they went in the new way.
    for (const leaseId of [readying, ready, ...onTheWay]) expect(await beganNewWays(leaseId)).toBe(true);
  });
});

describe('workers of two versions side by side', () => {
  let other: ChildProcess | undefined;
  afterEach(() => other?.kill('SIGKILL'));

  it('with `upgrade: hold` take over from each other, back and forth; without it the new ways begin', async () => {
    await install(old);
    await restartWorker();
    await writeFile(join(stack.root, 'slipway.yaml'), 'upgrade: hold\n');
    other = spawn(process.execPath, [join(next.dist, 'worker', 'main.js')], {
      stdio: 'ignore',
      env: { ...process.env, SLIPWAY_STATE: stack.state },
    });
    await until('both work', async () => (await stack.pidOf('worker')) === other?.pid);
    // Whoever is asked first has a lease from then on.
    const ofOld: string[] = [];
    const ofNew: string[] = [];
    while (ofOld.length < 2 || ofNew.length < 2) {
      const leaseId = freshId('both');
      await stack.create({ leaseId, bundle: 'steps' });
      expect((await stack.wait(leaseId, 'ready')).state).toBe('ready');
      const workers = await workersOf(leaseId);
      (workers.includes(String(other.pid)) ? ofNew : ofOld).push(leaseId);
    }
    // The new one dies: what it began goes on in the old one.
    other.kill('SIGKILL');
    for (const leaseId of ofNew) await stack.post(`/v1/leases/${leaseId}/release`);
    for (const leaseId of ofNew) expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    // The old one goes for good.
    await install(next.dist);
    await restartWorker();
    for (const leaseId of ofOld) await stack.post(`/v1/leases/${leaseId}/release`);
    for (const leaseId of ofOld) expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    for (const leaseId of [...ofNew, ...ofOld]) {
      expect(new Set(await workersOf(leaseId)).size).toBeGreaterThan(1);
      expect(await failedTasks(leaseId)).toEqual([]);
      expect(await beganNewWays(leaseId)).toBe(false);
    }
    await rm(join(stack.root, 'slipway.yaml'));
    const begun = async (): Promise<boolean> => {
      const leaseId = freshId('new');
      await stack.create({ leaseId, bundle: 'bare', job: { command: ['true'] } });
      expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
      return beganNewWays(leaseId);
    };
    await until('the new ways begin', begun);
    expect(await stack.machinesLeft()).toEqual([]);
  });
});
