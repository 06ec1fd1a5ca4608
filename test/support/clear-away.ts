import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { readInstallation } from '../../src/config/installation.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { isAlive, signalProcess, type ProcessIdentity } from '../../src/host/process-identity.ts';
import type * as local from '../../src/providers/local/client.ts';
import type { Knobs } from '../../src/providers/local/knobs.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { turnKnobs } from './local-knobs.ts';
import { processesIn } from './qemu-machines.ts';
import { until } from './until.ts';

type BuiltClient = Pick<typeof local, 'createLocalProvider'>;

/** Of a test's stack. The built one: it finds the running process of the provider, or starts it. */
export async function localOf(state: string): Promise<{ readonly provider: Provider; readonly installation: string }> {
  const built = pathToFileURL(resolve('dist/providers/local/client.js')).href;
  const { createLocalProvider } = (await import(built)) as BuiltClient;
  const { id } = await readInstallation(stateFolder(state));
  return { provider: createLocalProvider({ folder: join(state, 'local'), installation: id }), installation: id };
}

const soon = (): AbortSignal => AbortSignal.timeout(30_000);

/** Machines outlive their stack: what a test leaves, a red one or a pool's, would stay on this host for ever. */
export async function clearAway(state: string): Promise<void> {
  for (const line of processesIn(join(state, 'qemu'))) signalProcess(Number(line.split(' ')[0]), 'SIGKILL');
  if ((await readdir(join(state, 'local', 'machines')).catch(() => [])).length === 0) return;
  const folder = join(state, 'local');
  const { tier } = JSON.parse(await readFile(join(folder, 'knobs.json'), 'utf8')) as Knobs;
  turnKnobs(folder, { idleMs: 300, ...(tier ? { tier } : {}) });
  const { provider, installation } = await localOf(state);
  for (const { ref } of await provider.list(installation, soon())) {
    await provider.destroy(ref, soon());
    while ((await provider.get(ref, soon())).state !== 'absent') await pause(50);
  }
  await provider.close();
  const process = JSON.parse(await readFile(join(state, 'run', 'local.json'), 'utf8')) as ProcessIdentity;
  await until('the local provider has ended', () => !isAlive(process));
}
