import { setTimeout as pause } from 'node:timers/promises';
import { createOnce, destroyUntilGone } from '../../src/activities/machine-debt.ts';
import { DomainError, failureTable } from '../../src/domain/failure.ts';
import type { Provider, ProviderRef } from '../../src/providers/provider.ts';

const askAgainMs = 50;

/**
 * A provider as the core uses it: what failed for now is tried again, two creates with one key are one machine also where
 * the provider keeps no keys, and a destroy ends when the machine was seen gone.
 */
export function patientProvider(inner: Provider, installation: string): Provider {
  const { reload, rekey, power, console } = inner;
  const again = async <T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof DomainError) || !failureTable[error.type].retryable) throw error;
        await pause(error.retryAfterMs ?? 5);
      }
    }
  };
  const keys = new Map<string, string>();
  const remember = (ref: ProviderRef, key: string): ProviderRef => {
    keys.set(JSON.stringify(ref), key);
    return ref;
  };
  return {
    ...inner,
    create: (key, spec, tags, signal) =>
      again(signal, async () => remember(await createOnce(inner, key, spec, tags, signal), key)),
    findByKey: (key, signal) =>
      again(signal, async () => {
        const ref = await inner.findByKey(key, signal);
        return ref && remember(ref, key);
      }),
    get: (ref, signal) => again(signal, () => inner.get(ref, signal)),
    list: (installation, signal) => again(signal, () => inner.list(installation, signal)),
    ...(reload && {
      reload: (ref, spec, generation, signal) => again(signal, () => reload(ref, spec, generation, signal)),
    }),
    ...(rekey && {
      rekey: (ref, identity, generation, signal) => again(signal, () => rekey(ref, identity, generation, signal)),
    }),
    ...(power && { power: (ref, action, signal) => again(signal, () => power(ref, action, signal)) }),
    ...(console && { console: (ref, maxBytes, signal) => again(signal, () => console(ref, maxBytes, signal)) }),
    async destroy(ref, signal) {
      const debt = { ref, quietFromMs: Date.now() };
      const key = keys.get(JSON.stringify(ref)) ?? 'unknown';
      await again(signal, () => destroyUntilGone(inner, installation, key, debt, signal, askAgainMs));
    },
  };
}
