import { DomainError, type Reason } from '../domain/failure.ts';
import type { Forgotten, Orphan, SweepReport } from '../domain/sweep.ts';
import type { InventoryItem, Provider, ResourceItem } from '../providers/provider.ts';
import type { Activities } from './activities.ts';
import { beating, pause } from './beat.ts';
import { providerOf, type Deps } from './deps.ts';
import { ownerOf, type Owner } from './owners.ts';
import { startReclaim } from './reclaim-orphan.ts';
import { reconcileQuota } from './reconcile-quota.ts';
import { forgetSweeps } from './sweep-history.ts';

/** One inventory, all its pages. */
const listWithinMs = 120_000;
/** How many owners are asked for at the same time. */
const atOnce = 16;
/** What one report holds: it is one payload. What is beyond is found when these have gone. */
const mostListed = 1_000;

export function sweepActivities(deps: Deps): Pick<Activities, 'sweepProviders'> {
  return {
    sweepProviders: ({ provider, reclaim, graceMs = 0, schedule }) =>
      beating(async (signal) => {
        const names = provider === undefined ? [...deps.providers.keys()] : [providerOf(deps, provider).name];
        const looks = await Promise.all(names.map((name) => sweepOne(deps, name, reclaim ? graceMs : false, signal)));
        if (schedule !== undefined) await forgetSweeps(deps, schedule);
        return reportOf(names, looks);
      }),
  };
}

/** An item of an inventory: a machine, or what was made for one. */
type Item = Omit<ResourceItem, 'state'> & { readonly state: string };
interface Unowned extends Item {
  readonly reclaimAs: string;
  reclaimed: boolean;
}
interface Look {
  readonly machines: readonly InventoryItem[];
  owned: number;
  readonly orphans: Unowned[];
  readonly forgotten: (Item & { readonly reason: string })[];
}
type Outcome = (Look | { readonly failure: Reason }) & { readonly provider: string };

/** @param reclaimAfterMs an orphan is what nobody owns on two looks so far apart; `false`: one look, and nothing is touched */
async function sweepOne(
  deps: Deps,
  name: string,
  reclaimAfterMs: number | false,
  signal: AbortSignal,
): Promise<Outcome> {
  const provider = providerOf(deps, name);
  try {
    const atMs = Date.now();
    const first = await lookAt(deps, provider, signal);
    await reconcileQuota(deps, name, first.machines, atMs);
    if (reclaimAfterMs === false || first.orphans.length === 0) return { provider: name, ...first };
    await pause(Math.max(reclaimAfterMs, provider.capabilities().settleMs), signal);
    const second = await lookAt(deps, provider, signal);
    const before = new Set(first.orphans.map(identity));
    await each(second.orphans.filter((orphan) => before.has(identity(orphan))).slice(0, mostListed), async (orphan) => {
      orphan.reclaimed = await end(deps, provider, orphan, second, signal);
    });
    return { provider: name, ...second };
  } catch (error) {
    signal.throwIfAborted();
    deps.logger.error({ error, provider: name }, 'a provider could not be swept');
    const type = error instanceof DomainError ? error.type : 'Internal';
    return { provider: name, failure: { type, message: error instanceof Error ? error.message : String(error) } };
  }
}

const identity = ({ kind, key, ref }: Item): string => JSON.stringify([kind, key, ref]);

/** Inventory first, then the owners: what is born between the two is not in the inventory, and so never judged. */
async function lookAt(deps: Deps, provider: Provider, signal: AbortSignal): Promise<Look> {
  signal.throwIfAborted();
  const { id } = deps.installation;
  const within = AbortSignal.any([signal, AbortSignal.timeout(listWithinMs)]);
  // A provider that ignores a filter must not make us judge what is another installation's.
  const ours = ({ tags }: Pick<InventoryItem, 'tags'>): boolean => tags['slipway-installation'] === id;
  const machines = (await provider.list(id, within)).filter(ours);
  const resources = ((await provider.resources?.list(id, within)) ?? []).filter(ours);
  const look: Look = { machines, owned: 0, orphans: [], forgotten: [] };
  const owners = new Map<string, Promise<Owner>>();
  const items = [...machines.map((machine): Item => Object.assign({ kind: 'machine' }, machine)), ...resources];
  await each(items, async (item) => {
    signal.throwIfAborted();
    const owner = owners.get(item.key) ?? ownerOf(deps, item.tags['slipway-machine'], item.key);
    owners.set(item.key, owner);
    const { verdict, reclaimAs, reason } = await owner;
    if (verdict === 'orphan') look.orphans.push({ ...item, reclaimAs, reclaimed: false });
    else if (verdict === 'forgotten') look.forgotten.push({ ...item, reason });
    else if (item.kind === 'machine') look.owned += 1;
  });
  return look;
}

/** @returns whether its end has begun; one that cannot begin now is found again by the next sweep */
async function end(deps: Deps, provider: Provider, orphan: Unowned, look: Look, signal: AbortSignal): Promise<boolean> {
  const { machines } = look;
  try {
    if (orphan.kind === 'machine') return await startReclaim(deps, provider.name, orphan.reclaimAs, orphan);
    // While its machine stands, it goes with it.
    if (machines.some(({ key }) => key === orphan.key)) return false;
    await provider.resources?.destroy(orphan, signal);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    deps.logger.error({ error, provider: provider.name, key: orphan.key }, 'an orphan could not be reclaimed');
    return false;
  }
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}

function reportOf(providers: readonly string[], outcomes: readonly Outcome[]): SweepReport {
  const looks = outcomes.filter((one): one is Look & Outcome => 'machines' in one);
  const shown = (provider: string, { tags, kind, key, state, createdAt }: Item) => ({
    machineId: tags['slipway-machine'],
    provider,
    kind,
    key,
    state,
    createdAt,
  });
  const [oldest] = looks.flatMap(({ machines }) => machines).toSorted((a, b) => a.createdAt.localeCompare(b.createdAt));
  const orphans = looks.flatMap((look) =>
    look.orphans.map((one): Orphan => ({ ...shown(look.provider, one), reclaimed: one.reclaimed })),
  );
  return {
    providers,
    at: new Date().toISOString(),
    owned: looks.reduce((sum, { owned }) => sum + owned, 0),
    orphans: orphans.slice(0, mostListed),
    forgotten: looks
      .flatMap((look) => look.forgotten.map((one): Forgotten => ({ ...shown(look.provider, one), reason: one.reason })))
      .slice(0, mostListed),
    ...(oldest ? { oldest: { machineId: oldest.tags['slipway-machine'], createdAt: oldest.createdAt } } : {}),
    failures: outcomes.flatMap((one) => ('failure' in one ? [{ provider: one.provider, reason: one.failure }] : [])),
    reclaimed: orphans.filter(({ reclaimed }) => reclaimed).length,
  };
}
