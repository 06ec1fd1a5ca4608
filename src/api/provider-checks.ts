import type { ProviderView } from '../contract/http.ts';
import { DomainError, wholeText } from '../domain/failure.ts';
import { noProvider } from '../providers/lacking.ts';
import type { Provider } from '../providers/provider.ts';
import type { ApiDeps } from './deps.ts';

/**
 * Each provider tried as it is now; one that cannot even be asked is a check that failed, not a failed request.
 * @param said names of those that the settings name
 */
export const checkProviders =
  (providers: ReadonlyMap<string, Provider>, said: readonly string[]): ApiDeps['checkProviders'] =>
  async (name, signal) => {
    if (name !== undefined && !providers.has(name)) throw noProvider(name, [...providers.keys()]);
    const asked = [...providers].filter(([each]) => name === undefined || each === name);
    // Who names one wants to know what it can do now; all of them together are looked over.
    const quick = name === undefined;
    return Promise.all(asked.map(([each, provider]) => checkOne(each, provider, { quick, said }, signal)));
  };

const abilitiesOf = (provider: Provider): readonly string[] => {
  const capabilities = provider.capabilities();
  return (['power', 'console', 'reload', 'rekey', 'images', 'userData'] as const).filter(
    (ability) => capabilities[ability],
  );
};

async function checkOne(
  name: string,
  provider: Provider,
  { quick, said }: { readonly quick: boolean; readonly said: readonly string[] },
  signal: AbortSignal,
): Promise<ProviderView> {
  const own = { name, ...(said.includes(name) ? {} : { unsaid: true }), abilities: abilitiesOf(provider) };
  try {
    const { ok, summary, items } = await provider.check(signal, quick);
    return { ...own, ok, summary, items: [...items] };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return {
      ...own,
      ok: false,
      summary: 'does not answer',
      items: [{ name: error.type, ok: false, text: wholeText(error) }],
    };
  }
}
