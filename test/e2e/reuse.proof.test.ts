import { randomInt } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MachineStatus } from '../../src/domain/lease.ts';
import { alive, freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { awaitHeld } from '../support/local-knobs.ts';
import { before, tracesAtHome, tracesOfRoot } from '../support/traces.ts';
import { until } from '../support/until.ts';
import { join } from 'node:path';

// All processes of a stack start here, on a machine that may be busy; a reset looks at all of its files.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 180_000 });

const isRoot = process.getuid?.() === 0;
/** As root the machine has a root of its own; for an ordinary user the tier that has none is the harder one. */
const tier = isRoot ? 'root' : 'plain';
const base = isRoot ? '/var/lib/slipway' : '$HOME/.slipway';

const bundle = (reclaim: string): string => `variants:
  - provider: local
commands:
  - title: what is kept
    shell: |
${before
  .split('\n')
  .map((line) => `      ${line}`)
  .join('\n')}
reclaim: ${reclaim}
`;

describe.each(['reload', 'reset'] as const)(`a pool of one on local, tier ${tier}, reclaimed by %s`, (how) => {
  const tag = String(randomInt(10_000, 60_000));
  const traces = [...tracesAtHome(tag), ...(isRoot ? tracesOfRoot(tag) : [])];
  const machineId = `${how}+1`;
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startTestStack({
      bundles: { [how]: bundle(how) },
      settings: `pools:\n  ${how}: {bundle: ${how}, target: 1, ceiling: 1}\n`,
    });
    await stack.knobs({ tier });
    await until('the machine is warm', async () => (await machine())?.phase === 'warm', 120_000);
  });
  afterEach(() => stack.knobs({ tier }));
  afterAll(() => stack.stop());

  const machine = (): Promise<MachineStatus | undefined> =>
    stack.json<MachineStatus>(`/v1/machines/${machineId}`).catch(() => undefined);
  /** Runs a text as a tenant's job on the pool's machine, and answers what it wrote. */
  const tenant = async (shell: string): Promise<string> => {
    const leaseId = freshId('tenant');
    const job = { command: ['sh', '-c', `BASE="${base}"\n${shell}`] };
    const lease = await stack.create({ leaseId, bundle: how, job });
    expect(lease.state).not.toBe('failed');
    const followed = await stack.follow(leaseId);
    expect((await stack.wait(leaseId, 'ended')).attempts.at(-1)?.machineId).toBe(machineId);
    return followed.out.toString();
  };
  const leaveAll = traces.map(({ leave }) => `(${leave}\n) 2>/dev/null`).join('\n');
  const seen = async (): Promise<readonly string[]> => {
    const looks = traces.map(({ look }, n) => `[ -z "$( (${look}) 2>/dev/null)" ] || echo ${n}`);
    const found = (await tenant(looks.join('\n'))).split('\n').filter((line) => line !== '');
    return found.map((n) => traces[Number(n)]?.what ?? n);
  };
  const inGeneration = (generation: number): Promise<void> =>
    until(
      `generation ${generation} is warm`,
      async () => {
        const now = await machine();
        return now?.phase === 'warm' && now.generation === generation;
      },
      120_000,
    );

  it('shows the next tenant nothing of the last', async () => {
    const one = await machine();
    await tenant(leaveAll);
    await inGeneration(2);
    const two = await machine();
    expect(two).toMatchObject({
      pool: { name: how, uses: 1 },
      decision: { do: how, why: `its bundle says reclaim: ${how}` },
    });
    expect(two?.access?.address).toBe(one?.access?.address);
    expect(two?.access?.fingerprint).not.toBe(one?.access?.fingerprint);
    // What a task itself leaves is its own lease's while that lasts.
    expect((await seen()).filter((what) => what !== 'what tasks left')).toEqual([]);
    await inGeneration(3);
  });

  it.each(['worker', 'local'] as const)(
    'is one machine, renewed once, when the %s is killed with -9 meanwhile',
    async (name) => {
      const generation = ((await machine())?.generation ?? 0) + 1;
      // A reload is held between the old machine and the new one, a reset while its script runs.
      const gates =
        how === 'reload' ? { reload: 'midway' as const } : { exec: true, command: 'reset-[0-9a-f]*.sh reset' };
      await stack.knobs({ tier, gates });
      await tenant(leaveAll);
      await awaitHeld(join(stack.state, 'local'), how === 'reload' ? 'reload' : 'exec', 1, 60_000);
      expect(await machine()).toMatchObject({ phase: 'renewing', generation: generation - 1 });
      const pid = await stack.killHard(name);
      await until(`the ${name} is dead`, () => !alive(pid));
      await stack.knobs({ tier });
      await inGeneration(generation);
      expect((await seen()).filter((what) => what !== 'what tasks left')).toEqual([]);
      await inGeneration(generation + 1);
      const machines = await stack.json<readonly { readonly machineId: string }[]>('/v1/machines');
      expect(machines.map((each) => each.machineId)).toEqual([machineId]);
    },
  );
});
