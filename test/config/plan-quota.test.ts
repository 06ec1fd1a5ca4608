import { expect, it } from 'vitest';
import { withQuotas } from '../../src/config/plan-quota.ts';
import type { Settings } from '../../src/config/settings.ts';
import type { Recipe, Variant } from '../../src/domain/bundle.ts';
import { fakePlan } from '../support/fake-plan.ts';

const variants: readonly Variant[] = [
  { provider: 'cloud', spec: { zone: 'a', size: 'm1', cores: 4, memoryMb: 8_192 } },
  { provider: 'cloud', spec: { size: 'm2' } },
  { provider: 'local', spec: { diskMb: 64 } },
  { provider: 'twin', spec: { cores: 'many' } },
];
const recipe = { variants } as Recipe;
const plan = fakePlan({ variants: variants.map(({ provider }) => provider) });
const settings = (providers: Settings['providers']): Settings => ({ providers }) as Settings;

it('says what each variant costs of its account, and where it is made', () => {
  const { quotas } = withQuotas(
    plan,
    recipe,
    settings({
      cloud: { type: 'local', account: 'shared', quota: { cores: 8 } },
      local: { type: 'local', rate: { callsPerSecond: 1, burst: 1 } },
      twin: { type: 'local', account: 'shared' },
    }),
  );
  expect(quotas).toEqual([
    { account: 'shared', place: 'cloud/a/m1', cores: 4, memoryMb: 8_192 },
    { account: 'shared', place: 'cloud/m2', cores: 1, memoryMb: 0 },
    null,
    { account: 'shared', place: 'twin', cores: 1, memoryMb: 0 },
  ]);
});

it('adds nothing to a plan where no account has a quota', () => {
  expect(withQuotas(plan, recipe, settings({ local: { type: 'local' } }))).toBe(plan);
});
