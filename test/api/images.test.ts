import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { DomainError } from '../../src/domain/failure.ts';
import type { Images, ImageView } from '../../src/providers/provider.ts';
import type { ProviderState } from '../../src/domain/reuse.ts';
import { memoryProvider } from '../support/memory-provider.ts';
import { startCliBench, type CliBench } from '../cli/cli-bench.ts';
import { freshId } from './api-bench.ts';

vi.setConfig({ testTimeout: 60_000 });

const debian: ImageView = { name: 'debian', sizeBytes: 0, source: 'configured' };
let there: ImageView[] = [];
let state: ProviderState = 'running';
let used = 0;
let taken = 0;
/** Resolves when a capture may end. */
let release: () => void = () => undefined;
let held: Promise<void> | undefined;
const images: Images = {
  list: async () => there,
  async resolve(name) {
    const found = there.find((each) => each.name === name);
    if (found) return found;
    throw new DomainError('NotFound', `Provider fake has no image ${name}.`);
  },
  async capture(_ref, name) {
    const known = there.find((each) => each.name === name);
    if (known?.source === 'captured') return known;
    if (known) throw new DomainError('IdConflict', `fake has another image ${name}.`);
    taken += 1;
    await held;
    const image: ImageView = { name, sizeBytes: 2_000_000, source: 'captured', createdAt: new Date().toISOString() };
    there.push(image);
    return image;
  },
  async remove(name) {
    if (used > 0) throw new DomainError('InvalidRequest', `Image ${name} is what ${used} machines lie upon.`);
    there = there.filter((each) => each.name !== name);
  },
};

let cli: CliBench;
let machine: string;
beforeAll(async () => {
  const capabilities = () => ({ ...memoryProvider().provider.capabilities(), images: true });
  const provided = { capabilities, findByKey: async (key: string) => ({ key }), get: async () => ({ state }), images };
  cli = await startCliBench({
    providers: ['fake', 'other'],
    provider: (name) => (name === 'fake' ? provided : name === 'other' ? memoryProvider().provider : undefined),
  });
  const lease = freshId();
  await cli.run(['lease', 'create', '--bundle', 'hello', '--id', lease]);
  machine = `${lease}.1`;
});
afterAll(() => cli.stop());
beforeEach(() => {
  there = [debian];
  state = 'running';
  used = 0;
  taken = 0;
  held = undefined;
});

const image = (...words: readonly string[]) => cli.run(['image', ...words]);

describe('images', () => {
  it('of all providers that keep any are listed, and those of one that keeps none are refused with who does', async () => {
    expect((await image('list')).stdout).toMatch(
      /^PROVIDER +IMAGE +SIZE +FROM +WARM +AGE\nfake +debian +not here yet +slipway\.yaml +– +–\n$/,
    );
    expect(JSON.parse((await image('list', '--provider', 'fake', '--json')).stdout)).toEqual([
      { provider: 'fake', ...debian },
    ]);
    expect(await image('list', '--provider', 'other')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Provider other keeps no images.\n  Try: fake: slipway provider list') as string,
    });
    expect(await image('list', '--provider', 'nobody')).toMatchObject({ code: 3 });
  });

  it('are taken of a machine, and removed only with --yes', async () => {
    const made = await image('capture', machine, 'mine');
    expect(made).toMatchObject({ code: 0, stdout: `mine · 2.0 MB · of ${machine} on fake\n` });
    expect(made.stderr).toContain('in a bundle: {provider: fake, image: mine}');
    expect((await image('list')).stdout).toMatch(/fake +mine +2\.0 MB +a machine/);
    expect(await image('capture', machine, 'debian')).toMatchObject({ code: 5 });
    expect(await image('remove', 'fake', 'mine')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Nothing was done.') as string,
    });
    used = 2;
    expect(await image('remove', 'fake', 'mine', '--yes')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Image mine is what 2 machines lie upon.') as string,
    });
    used = 0;
    expect(await image('remove', 'fake', 'mine', '--yes')).toMatchObject({
      code: 0,
      stdout: 'mine is removed · 2.0 MB\n',
    });
    expect(await image('remove', 'fake', 'mine', '--yes')).toMatchObject({ code: 3 });
  });

  it('are not taken of a machine that neither runs nor is off, nor of one that is none', async () => {
    state = 'pending';
    expect(await image('capture', machine, 'mine')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`Machine ${machine} is pending.`) as string,
    });
    expect(await image('capture', 'nobody.1', 'mine')).toMatchObject({ code: 3 });
    expect(taken).toBe(0);
  });

  it('that two ask for at once are taken once, also when the first does not wait', async () => {
    held = new Promise((resolve) => (release = resolve));
    const leaving = new AbortController();
    const path = `/v1/machines/${machine}/images/shared`;
    const first = cli.api.ask(path, { method: 'PUT', signal: leaving.signal });
    await expect.poll(() => taken).toBe(1);
    leaving.abort();
    await expect(first).rejects.toThrow('abort');
    const second = cli.api.ask(path, { method: 'PUT' });
    release();
    expect(await (await second).json()).toMatchObject({
      provider: 'fake',
      image: { provider: 'fake', name: 'shared' },
    });
    expect(taken).toBe(1);
  });
});
