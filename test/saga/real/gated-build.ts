import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ActivityName } from '../../support/fake-world.ts';
import type { Side } from '../cells.ts';

/** A build whose worker can be held at any activity. */
export interface GatedBuild {
  /** The worker's script. */
  readonly worker: string;
  /** The first call of it whose input has the text waits at that side, until its worker dies. */
  readonly arm: (activity: ActivityName, side: Side, text: string) => Promise<void>;
  /** Pids of the workers that a call was held in, by `<activity>.<side>`. */
  readonly held: () => Promise<ReadonlyMap<string, number>>;
  readonly remove: () => Promise<void>;
}

export async function makeGatedBuild(): Promise<GatedBuild> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-gated-'));
  const gates = join(folder, 'gates');
  const dist = join(folder, 'dist');
  await mkdir(gates);
  await cp(resolve('dist'), dist, { recursive: true });
  for (const name of ['node_modules', 'package.json', 'bundles', 'schemas'])
    await symlink(resolve(name), join(folder, name));
  const index = join(dist, 'activities', 'index.js');
  await rename(index, join(dist, 'activities', 'index-real.js'));
  const text = await readFile(fileURLToPath(new URL('gated-activities.mjs', import.meta.url)), 'utf8');
  await writeFile(index, text.replace("'GATES'", JSON.stringify(gates)));
  return {
    worker: join(dist, 'worker', 'main.js'),
    async arm(activity, side, wanted) {
      const path = join(gates, `${activity}.${side}`);
      await writeFile(`${path}.part`, wanted);
      await rename(`${path}.part`, path);
    },
    async held() {
      const names = (await readdir(gates)).filter((name) => name.endsWith('.held'));
      const pairs = names.map(async (name) => {
        const pid = Number(await readFile(join(gates, name), 'utf8'));
        return [name.slice(0, -'.held'.length), pid] as const;
      });
      return new Map((await Promise.all(pairs)).filter(([, pid]) => pid > 0));
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
