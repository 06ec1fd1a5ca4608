import type { Debt } from '../domain/machine.ts';
import type { CreateSpec, OwnerTags, Provider, ProviderRef } from '../providers/provider.ts';
import { pause } from './beat.ts';

/** A destroy that was accepted and did nothing is asked for again. */
const destroyAgainMs = 5_000;

/** Where a provider cannot tell two creates with one key apart, we do: look, create, settle, look again, keep one. */
export async function createOnce(
  provider: Provider,
  key: string,
  spec: CreateSpec,
  tags: OwnerTags,
  signal: AbortSignal,
): Promise<ProviderRef> {
  const { idempotentCreate, settleMs } = provider.capabilities();
  if (idempotentCreate !== 'none') return provider.create(key, spec, tags, signal);
  const before = await provider.findByKey(key, signal);
  if (before) return before;
  const made = await provider.create(key, spec, tags, signal);
  await pause(settleMs, signal);
  signal.throwIfAborted();
  const all = (await provider.list(tags['slipway-installation'], signal)).filter((item) => item.key === key);
  const [kept, ...surplus] = all.toSorted((a, b) => a.createdAt.localeCompare(b.createdAt));
  for (const extra of surplus) await provider.destroy(extra.ref, signal);
  return kept?.ref ?? made;
}

/**
 * Destroys what a key stands for, for as long as it takes; absence counts on two looks, from when no create is under way.
 * @returns what the provider says of a standing machine that it keeps from everybody
 */
export async function destroyUntilGone(
  provider: Provider,
  installation: string,
  key: string,
  debt: Pick<Debt, 'ref' | 'quietFromMs'>,
  signal: AbortSignal,
  againMs = destroyAgainMs,
): Promise<{ readonly takenOut?: string }> {
  const { settleMs } = provider.capabilities();
  let looks = 0;
  let askedAtMs = 0;
  let takenOut: string | undefined;
  for (let waitMs = 10; looks < 2; waitMs = Math.min(waitMs * 1.5, 1_000)) {
    signal.throwIfAborted();
    const ref = (await provider.findByKey(key, signal)) ?? debt.ref;
    const view = ref ? await provider.get(ref, signal) : { state: 'absent' as const };
    const { state } = view;
    if (state === 'absent') {
      takenOut = view.takenOut ?? takenOut;
      if (await destroyResources(provider, installation, key, signal)) {
        looks = 0;
        await pause(waitMs, signal);
        continue;
      }
      // Only a look from after the last create could have had its effect says anything.
      if (Date.now() >= debt.quietFromMs + settleMs) looks += 1;
      if (looks < 2) await pause(Math.max(settleMs, looks === 0 ? Math.min(waitMs, 500) : 1), signal);
      continue;
    }
    looks = 0;
    if (ref && Date.now() - askedAtMs >= againMs) {
      askedAtMs = Date.now();
      await provider.destroy(ref, signal);
      continue;
    }
    await pause(waitMs, signal);
  }
  return takenOut === undefined ? {} : { takenOut };
}

/** What was made for a machine goes after it: most kinds cannot be deleted while it stands. @returns whether there is any */
async function destroyResources(
  provider: Provider,
  installation: string,
  key: string,
  signal: AbortSignal,
): Promise<boolean> {
  const all = (await provider.resources?.list(installation, signal)) ?? [];
  const left = all.filter((item) => item.key === key);
  for (const item of left) await provider.resources?.destroy(item, signal);
  return left.length > 0;
}
