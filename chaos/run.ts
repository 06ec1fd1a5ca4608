import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startBeacon } from '../test/support/beacon.ts';
import { struckFaults } from '../test/support/faults.ts';
import { startSshProxy } from '../test/support/ssh-proxy.ts';
import { startTestStack } from '../test/support/stack.ts';
import { audit } from './audit.ts';
import { bundles, settings, tuning } from './stack-files.ts';
import { forgetDebt, loseByte, type Canary } from './canary.ts';
import { drive } from './drive.ts';
import type { LeasePlan } from './plan.ts';
import { quiet } from './quiet.ts';
import { counted, faultCounts, isGood, type Report } from './report.ts';
import type { Schedule } from './schedule.ts';
import { storm } from './storm.ts';
import type { World } from './world.ts';

export interface ChaosOptions {
  readonly schedule: Schedule;
  readonly canaries?: readonly Canary[];
  /** Told how far it is. */
  readonly say?: (text: string) => void;
  /** How long after the last fault something may still be on its way out. */
  readonly quietWithinMs?: number;
}

export interface ChaosEnd {
  readonly report: Report;
  /** Where all of a bad run lies. */
  readonly folder?: string;
}

const sshPort = 2_222;

/** One run of chaos on a stack of its own. Nothing of it is left on the host but, of a bad one, its folder. */
export async function runChaos(options: ChaosOptions): Promise<ChaosEnd> {
  const { schedule, canaries = [], say = () => undefined } = options;
  const beacon = await startBeacon({ open: true });
  const proxy = await startSshProxy({ host: '0.0.0.0', to: (address) => ({ host: address, port: sshPort }) });
  const kept = { sweeping: !canaries.includes('debt'), atOnce: schedule.atOnce };
  const stack = await startTestStack({
    bundles: bundles(beacon.port),
    settings: settings({ ...kept, pooling: true }),
    tuning: tuning(schedule.seed),
    patienceMs: 300_000,
    // Another stack on this host must not answer in place of this one.
    env: { SLIPWAY_PORTS: 'any' },
  });
  let good = false;
  try {
    await writeFile(join(stack.root, 'schedule.json'), JSON.stringify(schedule));
    const tier = await tierOf(stack);
    const world: World = {
      stack,
      proxy,
      beacon,
      ownBoot: tier !== 'plain',
      expected: [],
      followed: new Map(),
      problems: [],
    };
    // Most machines are reached through the wire that fails; the choice is the machine's for its life.
    const detour = [{ fault: 'detour', port: proxy.port, rate: 0.7, seed: schedule.seed }];
    stack.faults(...detour);
    const started: LeasePlan[] = [];
    const calm = new AbortController();
    const { over, kills } = storm(schedule, world, detour, calm.signal);
    await leaseAll(schedule, world, started, say);
    await over;
    calm.abort();
    // Pools that are not declared any more give all of their machines back.
    await writeFile(join(stack.root, 'slipway.yaml'), settings({ ...kept, pooling: false }));
    if (canaries.includes('debt')) await forgetDebt(stack.state);
    const rest = await quiet(world, options.quietWithinMs);
    if (canaries.includes('bytes')) say(`canary: a byte of ${await loseByte(world)} is lost`);
    const report: Report = {
      seed: schedule.seed,
      minutes: schedule.minutes,
      tier,
      leases: counted(started.map(({ shape }) => shape)),
      faults: faultCounts(struckFaults(stack.state)),
      wire: proxy.struck(),
      kills,
      quiet: rest,
      audit: await audit(world, started),
      ledger: await ledgerLeft(stack),
      duplicates: beacon.repeated(),
      problems: world.problems,
    };
    good = isGood(report);
    return good ? { report } : { report, folder: stack.root };
  } finally {
    await stack.stop({ keep: !good }).catch((error: unknown) => {
      // What a bad run leaves may not go now either: its report says more.
      if (good) throw error;
      say(`the stack is not cleared away: ${error instanceof Error ? error.message : String(error)}`);
    });
    await proxy.close();
    await beacon.close();
  }
}

/** Each when its time has come and a slot is free; none after the end of the schedule. */
async function leaseAll(
  { leases, atOnce, minutes }: Schedule,
  world: World,
  started: LeasePlan[],
  say: (text: string) => void,
): Promise<void> {
  const fromMs = Date.now();
  const endMs = fromMs + minutes * 60_000;
  const open = new Map<string, Promise<void>>();
  let saidMs = fromMs;
  for (const plan of leases) {
    const waitMs = fromMs + plan.atMs - Date.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    while (open.size >= atOnce) await Promise.race(open.values());
    if (Date.now() > endMs) break;
    started.push(plan);
    open.set(
      plan.leaseId,
      drive(plan, world).then(() => void open.delete(plan.leaseId)),
    );
    if (Date.now() - saidMs < 10_000) continue;
    saidMs = Date.now();
    say(
      `${Math.round((saidMs - fromMs) / 1_000)} s: ${started.length} leases, ${open.size} open, ${world.problems.length} wrong`,
    );
  }
  await Promise.all(open.values());
}

async function tierOf(stack: World['stack']): Promise<string> {
  const checks = await stack.json<readonly { name: string; summary: string }[]>('/v1/providers');
  return /tier (\w+)/.exec(checks.find(({ name }) => name === 'local')?.summary ?? '')?.[1] ?? 'unknown';
}

/** What slipway itself says that it has still. */
async function ledgerLeft({ post }: World['stack']): Promise<readonly string[]> {
  const report = (await post('/v1/sweep')) as unknown as {
    readonly owned: number;
    readonly orphans: readonly { readonly machineId: string }[];
    readonly failures: readonly { readonly reason: { readonly message: string } }[];
  };
  return [
    ...(report.owned > 0 ? [`${report.owned} machines are owned`] : []),
    ...report.orphans.map(({ machineId }) => `${machineId} is an orphan`),
    ...report.failures.map(({ reason }) => `no inventory: ${reason.message}`),
  ];
}
