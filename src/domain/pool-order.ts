import type { PoolLife, PoolMachine, ServedClaim, Waiting } from './pool.ts';
import { isIdle } from './pool.ts';

/** How many machines each owner has, or is about to get. */
export function usesByOwner(machines: readonly PoolMachine[]): ReadonlyMap<string, number> {
  const uses = new Map<string, number>();
  for (const { claim } of machines) if (claim) uses.set(claim.owner, (uses.get(claim.owner) ?? 0) + 1);
  return uses;
}

/**
 * Who is served when: by priority, then whose owner has the fewest machines at that moment, then who came first. An owner's
 * own leases count up before each other, so this is the order in which one grant after the other would be made, without
 * making them.
 */
export function inOrder(life: Pick<PoolLife, 'machines' | 'waiting'>): readonly Waiting[] {
  const count = new Map(usesByOwner(life.machines));
  const ranked = life.waiting
    .toSorted((a, b) => b.priority - a.priority || a.nth - b.nth)
    .map((waiting) => {
      const has = count.get(waiting.owner) ?? 0;
      count.set(waiting.owner, has + 1);
      return { waiting, has };
    });
  return ranked
    .toSorted((a, b) => b.waiting.priority - a.waiting.priority || a.has - b.has || a.waiting.nth - b.waiting.nth)
    .map(({ waiting }) => waiting);
}

/** Gives idle machines to who waits for one of their digest, the longest idle first. */
export function matched(life: PoolLife, nowMs: number): PoolLife {
  const next = matchedOnce(life, nowMs);
  return next === life ? life : matched(next, nowMs);
}

function matchedOnce(life: PoolLife, nowMs: number): PoolLife {
  if (life.waiting.length === 0 || !life.machines.some(isIdle)) return life;
  const idle = life.machines.filter(isIdle).toSorted((a, b) => a.sinceMs - b.sinceMs);
  const next = inOrder(life).find((waiting) => idle.some(({ digest }) => digest === waiting.digest));
  const machine = idle.find(({ digest }) => digest === next?.digest);
  if (!next || !machine) return life;
  const claim: ServedClaim = { ...next, stage: 'toTell', grantedMs: nowMs };
  return {
    ...life,
    waiting: life.waiting.filter((waiting) => waiting !== next),
    machines: life.machines.map((each) =>
      each === machine ? { ...each, phase: 'leased', sinceMs: nowMs, claim } : each,
    ),
  };
}
