import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { createFetchedStore } from '../../src/output/fetched-store.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import { expireOnce } from '../../src/worker/expire-stores.ts';
import { bytesOf, freshFolder, roomy } from '../output/store-kit.ts';
import { sharedTemporal } from '../support/temporal.ts';

const dayMs = 86_400_000;
let client: Client;
beforeAll(async () => {
  const { address, namespace } = sharedTemporal();
  client = new Client({ connection: await Connection.connect({ address }), namespace });
});
afterAll(() => client.connection.close());

/** A workflow that is open until it is terminated: no worker serves its queue. */
const open = (workflowId: string) =>
  client.workflow.start('nobody', { workflowId, taskQueue: 'nobody-serves-this', args: [] });

test('after the days of the settings only what an open workflow may still need is there', async () => {
  const state = stateFolder(await freshFolder());
  const stores = {
    outputs: createFileOutputStore(state.output),
    blobs: createFileBlobStore(state.blobs),
    fetched: createFetchedStore(state.fetched),
  };
  const name = `expire-${process.pid}`;
  for (const key of [`${name}/open`, `${name}/terminated`, `machine/${name}.1/step/0`]) {
    const writer = await stores.outputs.open(key, roomy);
    await writer.write('stdout', 0, bytesOf(key));
    await writer.close();
  }
  const [held = '', unused = ''] = await Promise.all(['held', 'unused'].map((text) => stores.blobs.put(bytesOf(text))));
  await stores.blobs.hold(`lease/${name}`, [held]);
  await stores.blobs.hold('lease/never-was', [unused]);
  const twoHoursAgo = new Date(Date.now() - 7_200_000);
  for (const hold of await readdir(join(state.blobs, 'held')))
    await utimes(join(state.blobs, 'held', hold), twoHoursAgo, twoHoursAgo);
  const lives = await Promise.all([`lease/${name}`, `task/${name}/open`, `machine/${name}.1`].map(open));
  const expire = (days: number) =>
    expireOnce(
      { ...stores, workflows: client.workflow, settings: () => readSettings(state) },
      Date.now() + days * dayMs,
    );

  await expire(29);
  expect(await readdir(join(state.output, name))).toHaveLength(2);
  expect(await stores.blobs.has(unused)).toBe(true);
  await expire(31);
  expect(await readdir(join(state.output, name))).toEqual(['open']);
  expect((await stores.outputs.stat(`machine/${name}.1/step/0`))?.stdout.keptBytes).toBeGreaterThan(0);
  expect((await readdir(state.blobs)).sort()).toEqual([held, 'held'].sort());
  for (const life of lives) await life.terminate();
  await expire(31);
  expect(await readdir(state.output)).toEqual([]);
  expect(await readdir(state.blobs)).toEqual(['held']);
});

test('what was fetched from a machine is there for as many days, and for one however few they are', async () => {
  const state = stateFolder(await freshFolder());
  const fetched = createFetchedStore(state.fetched);
  const stores = { outputs: createFileOutputStore(state.output), blobs: createFileBlobStore(state.blobs), fetched };
  const part = await fetched.part('x');
  await part.write(0, bytesOf('x'));
  const sha256 = await part.digest(1);
  await part.keep(sha256, 1);
  await part.close();
  const defaults = await readSettings(state);
  const expire = (keepDays: number, days: number) => {
    const settings = async () => ({ ...defaults, output: { ...defaults.output, keepDays } });
    return expireOnce({ ...stores, workflows: client.workflow, settings }, Date.now() + days * dayMs);
  };
  await expire(30, 29);
  await expire(0, 0.9);
  expect(await fetched.file(sha256)).toMatchObject({ bytes: 1 });
  await expire(0, 1.1);
  await expect(fetched.file(sha256)).rejects.toMatchObject({ type: 'NotFound' });
});
