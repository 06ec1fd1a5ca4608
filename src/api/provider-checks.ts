import type { ProviderView } from '../contract/http.ts';
import { DomainError, wholeText } from '../domain/failure.ts';
import type { Provider } from '../providers/provider.ts';
import type { ApiDeps } from './deps.ts';

/** Each provider tried as it is now; one that cannot even be asked is a check that failed, not a failed request. */
export const checkProviders =
  (providers: ReadonlyMap<string, Provider>): ApiDeps['checkProviders'] =>
  async (name, signal) => {
    if (name !== undefined && !providers.has(name)) {
      throw new DomainError('NotFound', `There is no provider ${name}.`, {
        hint: `configured: ${[...providers.keys()].join(', ')}`,
      });
    }
    const asked = [...providers].filter(([each]) => name === undefined || each === name);
    return Promise.all(asked.map(([each, provider]) => checkOne(each, provider, signal)));
  };

const abilitiesOf = (provider: Provider): readonly string[] => {
  const capabilities = provider.capabilities();
  return (['power', 'console', 'reload', 'rekey', 'images', 'userData'] as const).filter(
    (ability) => capabilities[ability],
  );
};

async function checkOne(name: string, provider: Provider, signal: AbortSignal): Promise<ProviderView> {
  const abilities = abilitiesOf(provider);
  try {
    const { ok, summary, items } = await provider.check(signal);
    return { name, ok, summary, abilities, items: [...items] };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return {
      name,
      ok: false,
      summary: 'does not answer',
      abilities,
      items: [{ name: error.type, ok: false, text: wholeText(error) }],
    };
  }
}
