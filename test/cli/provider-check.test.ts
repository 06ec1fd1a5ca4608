import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ProviderView } from '../../src/contract/http.ts';
import { startCliBench, type CliBench } from './cli-bench.ts';

const lacking = { ok: false, summary: 'QEMU is not here', abilities: [], items: [] };
const good: ProviderView = { name: 'local', ok: true, summary: 'tier root', abilities: [], items: [] };
let checks: readonly ProviderView[] = [];
let cli: CliBench;
beforeAll(async () => {
  const checkProviders = async (name?: string) => checks.filter((each) => name === undefined || each.name === name);
  cli = await startCliBench({ checkProviders });
});
afterAll(() => cli.stop());

const check = (...words: readonly string[]) => cli.run(['provider', 'check', ...words]);

it('a provider that nobody has named may lack something, as long as there is another one', async () => {
  checks = [good, { name: 'qemu', unsaid: true, ...lacking }];
  expect(await check()).toMatchObject({ code: 0, stdout: '✔ local · tier root\n– qemu · QEMU is not here\n' });
  expect(await check('qemu')).toMatchObject({ code: 6, stdout: '✗ qemu · QEMU is not here\n' });
  checks = [{ name: 'qemu', unsaid: true, ...lacking }];
  expect(await check()).toMatchObject({ code: 6 });
});

it('one that the settings name may not', async () => {
  checks = [good, { name: 'lab', ...lacking }];
  expect(await check()).toMatchObject({ code: 6, stdout: '✔ local · tier root\n✗ lab · QEMU is not here\n' });
});
