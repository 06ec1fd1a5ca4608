import { noUse, plus, shareOf, useOf, type QuotaCost, type QuotaLimits, type Use } from './quota-use.ts';

interface Waits extends QuotaCost {
  readonly owner: string;
  readonly priority: number;
  readonly seq: number;
}

/**
 * The order in which those who wait are served, each counted as served when the next is looked for: higher priority first;
 * then the owner who has the least of the account; then who came first. One owner's asks never overtake each other
 * within a priority.
 */
export function inOrder<T extends Waits>(
  waiting: readonly T[],
  before: ReadonlyMap<string, Use>,
  limits: QuotaLimits,
): readonly T[] {
  const uses = new Map(before);
  const share = (owner: string): number => shareOf(uses.get(owner) ?? noUse, limits);
  const queues = new Map<string, T[]>();
  // Last first, so that the head of each queue is taken off at its end.
  for (const each of waiting.toSorted((a, b) => a.priority - b.priority || b.seq - a.seq)) {
    const queue = queues.get(each.owner);
    if (queue) queue.push(each);
    else queues.set(each.owner, [each]);
  }
  const ordered: T[] = [];
  while (ordered.length < waiting.length) {
    const heads = [...queues.values()].flatMap((queue) => queue.at(-1) ?? []);
    const next = heads.reduce((a, b) =>
      (b.priority - a.priority || share(a.owner) - share(b.owner) || a.seq - b.seq) > 0 ? b : a,
    );
    queues.get(next.owner)?.pop();
    uses.set(next.owner, plus(uses.get(next.owner) ?? noUse, useOf(next)));
    ordered.push(next);
  }
  return ordered;
}
