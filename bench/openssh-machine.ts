import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSshd } from '../test/support/sshd.ts';

/** A standing machine with OpenSSH's own server, on loopback, in an inventory of the provider `static`. */
export async function startOpensshMachine(): Promise<{
  readonly inventory: string;
  remove(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-bench-lab-'));
  const sshd = await startSshd({ standing: true });
  const { address, port, user, hostKey, clientKey } = sshd;
  const inventory = join(folder, 'lab.yaml');
  const box = { address, port, user, hostKey: hostKey.publicKey, identityFile: 'key' };
  await writeFile(join(folder, 'key'), clientKey.privateKey, { mode: 0o600 });
  // JSON is YAML.
  await writeFile(inventory, JSON.stringify({ machines: { box } }));
  return {
    inventory,
    async remove() {
      await sshd.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
