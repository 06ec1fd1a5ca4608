import type { Plan, Recipe, Variant, VariantQuota } from '../domain/bundle.ts';
import { accountOf } from './accounts.ts';
import type { Settings } from './settings.ts';

/** When a variant does not say how many cores a machine of it has. */
const defaultCores = 1;

const wholeNumber = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;

/** Where a provider makes it: what it may have no capacity for. */
const placeOf = ({ provider, spec }: Variant): string =>
  [provider, spec['zone'], spec['size']].filter((part) => typeof part === 'string').join('/');

function quotaOf(variant: Variant, providers: Settings['providers']): VariantQuota | null {
  const account = accountOf(providers, variant.provider);
  if (!account?.quota) return null;
  return {
    account: account.name,
    place: placeOf(variant),
    cores: wholeNumber(variant.spec['cores']) ?? defaultCores,
    memoryMb: wholeNumber(variant.spec['memoryMb']) ?? 0,
  };
}

/** The plan with what each variant costs of its account, where the account has a quota now. */
export function withQuotas(plan: Plan, { variants }: Recipe, { providers }: Settings): Plan {
  const quotas = variants.map((variant) => quotaOf(variant, providers));
  return quotas.some((quota) => quota !== null) ? { ...plan, quotas } : plan;
}
