import { expect, it } from 'vitest';
import { checkProviders } from '../../src/api/provider-checks.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { memoryProvider } from '../support/memory-provider.ts';

const { signal } = new AbortController();
const checked = (name: string, log: string[]): readonly [string, Provider] => {
  const { provider } = memoryProvider(name);
  const check: Provider['check'] = async (within, quick = false) => {
    log.push(`${name} ${quick ? 'quick' : 'whole'}`);
    return provider.check(within, quick);
  };
  return [name, { ...provider, check }];
};

it('providers that the settings do not name are told from those that they do', async () => {
  const check = checkProviders(new Map([checked('lab', []), checked('local', [])]), ['lab']);
  const [lab, local] = await check(undefined, signal);
  expect(lab).not.toHaveProperty('unsaid');
  expect(local).toMatchObject({ name: 'local', ok: true, unsaid: true });
});

it('one that is asked for is proven anew, all of them together are looked over', async () => {
  const log: string[] = [];
  const check = checkProviders(new Map([checked('lab', log), checked('local', log)]), []);
  await check(undefined, signal);
  await check('lab', signal);
  expect(log).toEqual(['lab quick', 'local quick', 'lab whole']);
  await expect(check('rack', signal)).rejects.toMatchObject({ type: 'NotFound', hint: 'configured: lab, local' });
});
