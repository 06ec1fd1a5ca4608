import { mkdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { stateFolder } from '../../src/config/state-folder.ts';
import { createBootStrings } from '../../src/rendezvous/boot-strings.ts';
import { freshFolder } from '../output/store-kit.ts';
import { installationKey, web } from './kit.ts';

/** Where a guest is told to call, whose provider leads it to this host's loopback by `hostAddress`, or does not. */
async function toldPlace(listens: string, hostAddress?: string): Promise<string | undefined> {
  const state = stateFolder(await freshFolder());
  await mkdir(state.run, { recursive: true });
  await writeFile(state.rendezvous, JSON.stringify({ host: listens, port: 4801 }));
  const bootString = await createBootStrings(state, installationKey)(web, hostAddress);
  return /^web\.1~0e2c~1:(.*);sha256/.exec(bootString)?.[1];
}

describe('a guest is told to call', () => {
  it.each([
    ['127.0.0.1', '10.0.2.2', '10.0.2.2:4801'],
    ['0.0.0.0', '10.0.2.2', '10.0.2.2:4801'],
    ['::', '10.0.2.2', '10.0.2.2:4801'],
    ['192.0.2.7', '10.0.2.2', '192.0.2.7:4801'],
    ['2001:db8::7', undefined, '[2001:db8::7]:4801'],
    ['192.0.2.7', undefined, '192.0.2.7:4801'],
  ])('where it listens at %s and leads by %s: %s', async (listens, hostAddress, place) => {
    expect(await toldPlace(listens, hostAddress)).toBe(place);
  });

  it.each([
    ['127.0.0.1', undefined],
    ['0.0.0.0', undefined],
    ['::1', undefined],
    ['::1', '10.0.2.2'],
  ])('nowhere, and its operator what to say, where it listens at %s and leads by %s', async (listens, hostAddress) => {
    await expect(toldPlace(listens, hostAddress)).rejects.toMatchObject({
      type: 'InvalidRequest',
      hint: expect.stringContaining('rendezvous: {listen: HOST:PORT, addresses: [HOST:PORT]}'),
    });
  });
});
