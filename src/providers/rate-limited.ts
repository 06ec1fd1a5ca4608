import { DomainError } from '../domain/failure.ts';
import type { Provider } from './provider.ts';

/** Says when a provider's account may be called; whoever wires the providers knows how. */
export interface CallTaker {
  /** Resolves when there is one more call to make. @throws what the signal was aborted with */
  take(signal: AbortSignal): Promise<void>;
  /** The provider refused a call for its rate: all leave it alone for so long. */
  throttled(retryAfterMs: number | undefined): Promise<void>;
}

/** Any provider, called no more often than its account allows. It waits within each call's own signal. */
export function rateLimited(inner: Provider, taker: CallTaker): Provider {
  const limited =
    <Args extends readonly unknown[], Result>(verb: (...args: readonly [...Args, AbortSignal]) => Promise<Result>) =>
    async (...args: readonly [...Args, AbortSignal]): Promise<Result> => {
      await taker.take(args.at(-1) as AbortSignal);
      try {
        return await verb(...args);
      } catch (error) {
        if (error instanceof DomainError && error.type === 'RateLimited') await taker.throttled(error.retryAfterMs);
        throw error;
      }
    };
  const { resources } = inner;
  return {
    ...inner,
    create: limited(inner.create.bind(inner)),
    findByKey: limited(inner.findByKey.bind(inner)),
    get: limited(inner.get.bind(inner)),
    list: limited(inner.list.bind(inner)),
    destroy: limited(inner.destroy.bind(inner)),
    check: (signal, quick) => limited((each: AbortSignal) => inner.check(each, quick))(signal),
    ...(inner.reload ? { reload: limited(inner.reload.bind(inner)) } : {}),
    ...(inner.rekey ? { rekey: limited(inner.rekey.bind(inner)) } : {}),
    ...(inner.power ? { power: limited(inner.power.bind(inner)) } : {}),
    ...(inner.console ? { console: limited(inner.console.bind(inner)) } : {}),
    ...(resources
      ? {
          resources: {
            list: limited(resources.list.bind(resources)),
            destroy: limited(resources.destroy.bind(resources)),
          },
        }
      : {}),
  };
}
