import type { Account, AccountQuota } from '../domain/quota.ts';
import { sameBody } from '../domain/same.ts';
import type { CallRate } from '../domain/token-bucket.ts';

/** What the settings of a provider say of its account. */
interface OfProvider {
  readonly account?: string;
  readonly quota?: AccountQuota;
  readonly rate?: CallRate;
}
type Providers = Readonly<Record<string, OfProvider>>;

/** Accounts with a quota or a rate; a provider without either belongs to none. */
export function accountsOf(providers: Providers): readonly Account[] {
  const named = Object.entries(providers);
  const names = new Set(named.map(([provider, { account = provider }]) => account));
  return [...names].flatMap((name) => {
    const members = named.filter(([provider, { account = provider }]) => account === name);
    const quota = members.find(([, each]) => each.quota)?.[1].quota;
    const rate = members.find(([, each]) => each.rate)?.[1].rate;
    if (!quota && !rate) return [];
    return [
      {
        name,
        providers: members.map(([provider]) => provider),
        ...(quota ? { quota } : {}),
        ...(rate ? { rate } : {}),
      },
    ];
  });
}

export const accountOf = (providers: Providers, provider: string): Account | undefined =>
  accountsOf(providers).find((account) => account.providers.includes(provider));

/** Providers that say another quota or rate of an account than one before them. */
export function accountMistakes(
  providers: Providers,
): readonly { readonly provider: string; readonly key: 'quota' | 'rate'; readonly message: string }[] {
  const named = Object.entries(providers);
  return named.flatMap(([provider, own], n) =>
    (['quota', 'rate'] as const).flatMap((key) => {
      const { account = provider } = own;
      const before = named
        .slice(0, n)
        .find(([other, { account: its = other, [key]: said }]) => its === account && said !== undefined);
      if (!before || own[key] === undefined || sameBody(before[1][key], own[key])) return [];
      const message = `account ${account} has another ${key} by provider ${before[0]}; say it once`;
      return [{ provider, key, message }];
    }),
  );
}
