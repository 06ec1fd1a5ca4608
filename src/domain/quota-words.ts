import { isCooling, type CoolDown } from './cool-down.ts';
import { inOrder } from './quota-order.ts';
import { beyond, noUse, plus, totalOf, useOf, usesBy, type Resource, type Use } from './quota-use.ts';
import type { Ledger, QuotaAsk } from './quota.ts';

const unit: Readonly<Record<Resource, string>> = { machines: 'machines', cores: 'cores', memoryMb: 'MB of memory' };
const ownersNamed = 5;

/** Why no wait would help: it is more than there will ever be. */
export function hopeless({ account, quota }: Ledger, ask: QuotaAsk): string | undefined {
  const use = useOf(ask);
  const all = beyond(use, quota);
  const own = beyond(use, quota.perOwner);
  if (all) {
    return `Machine ${ask.machineId} needs ${use[all]} ${unit[all]}, and account ${account} has ${quota[all]} in all (quota.${all}). Try: a smaller variant, or a larger quota in slipway.yaml.`;
  }
  if (own) {
    return `Machine ${ask.machineId} needs ${use[own]} ${unit[own]}, and each owner has ${quota.perOwner?.[own]} of account ${account} (quota.perOwner.${own}). Try: a smaller variant, or a larger quota in slipway.yaml.`;
  }
  return undefined;
}

export const coolingText = ({ place, untilMs }: CoolDown): string =>
  `Place ${place} had no capacity: it is not asked before ${new Date(untilMs).toISOString()}.`;

/** Says of each that waits why: `account local: 8 of 8 cores in use (ci 6, ana 2)`. */
export function whyWaiting(ledger: Ledger, nowMs: number): (ask: QuotaAsk) => string {
  const { quota, account } = ledger;
  const cooling = (place: string): CoolDown | undefined =>
    ledger.coolDowns.find((each) => each.place === place && isCooling(each, nowMs));
  const uses = usesBy(ledger.held);
  const total = totalOf(ledger.held);
  const ownBound = (each: QuotaAsk): Resource | undefined =>
    beyond(plus(uses.get(each.owner) ?? noUse, useOf(each)), quota.perOwner);
  const eligible = ledger.waiting.filter(({ place }) => !cooling(place));
  const head = inOrder(eligible, uses, quota).find((each) => !ownBound(each));
  const scarce = head && beyond(plus(total, useOf(head)), quota);
  return (ask) => {
    const coolDown = cooling(ask.place);
    if (coolDown) return coolingText(coolDown);
    const own = ownBound(ask);
    if (own) return `owner ${ask.owner}: ${used(uses.get(ask.owner) ?? noUse, own, quota.perOwner?.[own])}`;
    if (!head || !scarce) return `account ${account}: others come first`;
    const room = (quota[scarce] ?? 0) - total[scarce];
    const who = head.key === ask.key ? 'it needs' : 'who comes first needs';
    const wanted = room > 0 ? `; ${who} ${useOf(head)[scarce]}` : '';
    return `account ${account}: ${used(total, scarce, quota[scarce])} (${byOwner(uses, scarce)})${wanted}`;
  };
}

const used = (use: Use, resource: Resource, limit: number | undefined): string =>
  `${use[resource]} of ${limit} ${unit[resource]} in use`;

function byOwner(uses: ReadonlyMap<string, Use>, resource: Resource): string {
  const owners = [...uses].filter(([, use]) => use[resource] > 0).toSorted(([, a], [, b]) => b[resource] - a[resource]);
  const named = owners.slice(0, ownersNamed).map(([owner, use]) => `${owner} ${use[resource]}`);
  return [...named, ...(owners.length > ownersNamed ? [`and ${owners.length - ownersNamed} more`] : [])].join(', ');
}
