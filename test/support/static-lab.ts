import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inventoryAt } from '../../src/config/inventory.ts';
import { connect } from '../../src/guest/connection.ts';
import { opensshKeyPair } from '../../src/guest/openssh-key.ts';
import type { Subject } from '../../src/providers/conformance/subject.ts';
import type { CreateSpec, OwnerTags, Provider, ProviderRef } from '../../src/providers/provider.ts';
import { createStaticProvider } from '../../src/providers/static/client.ts';
import { startSshd, type Sshd } from './sshd.ts';

export interface LabOptions {
  readonly machines: number;
  readonly resetCommands?: readonly (readonly string[])[];
  readonly returnWithinMs?: number;
  /** Machines whose power is a file beside the inventory. */
  readonly power?: boolean;
}

/** What the operator of such machines writes. */
export const switches = {
  on: ['sh', '-c', 'rm -f "$SLIPWAY_MACHINE_NAME.off"'],
  off: ['sh', '-c', ': >"$SLIPWAY_MACHINE_NAME.off"'],
  status: ['sh', '-c', '[ -e "$SLIPWAY_MACHINE_NAME.off" ] && echo Power is off || echo Power is on'],
} as const;

/** Standing machines: sshd's on loopback, and an inventory of them. */
export async function startMachines(count: number): Promise<{
  readonly root: string;
  readonly file: string;
  readonly machines: readonly Sshd[];
  /** The inventory as YAML; of these machines only, when given. */
  readonly inventory: (more?: Readonly<Record<string, unknown>>, names?: readonly string[]) => string;
  readonly remove: () => Promise<void>;
}> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-lab-'));
  const machines = await Promise.all(Array.from({ length: count }, () => startSshd({ standing: true })));
  await Promise.all(
    machines.map(({ clientKey }, n) => writeFile(join(root, `key${n + 1}`), clientKey.privateKey, { mode: 0o600 })),
  );
  const inventory = (more = {}, names?: readonly string[]): string => {
    const all = machines.map(({ address, port, user, hostKey }, n) => {
      const labels = { number: String(n + 1), kind: 'box' };
      const machine = { address, port, user, hostKey: hostKey.publicKey, identityFile: `key${n + 1}`, labels };
      return [`box${n + 1}`, machine] as const;
    });
    // JSON is YAML.
    return JSON.stringify({
      ...more,
      machines: Object.fromEntries(all.filter(([name]) => names?.includes(name) ?? true)),
    });
  };
  const file = join(root, 'lab.yaml');
  await writeFile(file, inventory());
  return {
    root,
    file,
    machines,
    inventory,
    async remove() {
      await Promise.all(machines.map((machine) => machine.remove()));
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** The `static` provider on such machines. */
export async function startLab({ machines: count, resetCommands = [], returnWithinMs, power = false }: LabOptions) {
  const lab = await startMachines(count);
  await writeFile(lab.file, lab.inventory({ resetCommands, ...(power ? { power: switches } : {}) }));
  const installation = randomBytes(8).toString('hex');
  const clientKey = opensshKeyPair(randomBytes(32), 'lease');
  const signal = (): AbortSignal => AbortSignal.timeout(30_000);
  const again = (): Provider =>
    createStaticProvider({
      name: 'lab',
      folder: join(lab.root, 'state'),
      inventory: inventoryAt(lab.file),
      secret: async (name) => `secret of ${name}`,
      ...(returnWithinMs === undefined ? {} : { returnWithinMs }),
    });
  const provider = again();
  const spec = (hostname: string): CreateSpec => ({
    hostname,
    variant: {},
    hostKey: 'a standing machine has its own',
    authorizedKeys: [clientKey.publicKey],
  });
  const tags = (key: string): OwnerTags => ({
    'slipway-installation': installation,
    'slipway-machine': `${key}.1`,
    'slipway-lease': key,
    'slipway-key': key,
  });
  let made = 0;

  return {
    ...lab,
    provider,
    again,
    installation,
    clientKey,
    signal,
    spec,
    tags,
    /** A claimed machine, by a key of its own. */
    async claim(
      more: Partial<CreateSpec> = {},
      by = provider,
    ): Promise<{ readonly key: string; readonly ref: ProviderRef }> {
      made += 1;
      const key = `claim${made}`;
      return { key, ref: await by.create(key, { ...spec(key), ...more }, tags(key), signal()) };
    },
    sshdOf: (ref: ProviderRef): Sshd => {
      const found = lab.machines[Number(ref['machine']?.replace('box', '')) - 1];
      if (!found) throw new Error(`no machine ${JSON.stringify(ref)}`);
      return found;
    },
    /** As its tenant does. @returns the code and what it wrote */
    async sh(ref: ProviderRef, text: string): Promise<{ readonly code: number | undefined; readonly out: string }> {
      const { access } = await provider.get(ref, signal());
      if (!access?.hostKey) throw new Error(`no way in to ${JSON.stringify(ref)}`);
      const { hostKey, address, port, user } = access;
      const at = { id: 'tenant', name: 'tenant', address, port, user, hostKey };
      const connection = await connect(at, clientKey.privateKey, 5_000, signal());
      try {
        const { stdin, stdout, stderr, done } = await connection.exec('sh');
        stdin.end(text);
        stderr.resume();
        let out = '';
        stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
        return { code: await done, out };
      } finally {
        connection.close();
      }
    },
    /** What the folder of the provider knows of machines that are not free. */
    async remains(): Promise<readonly string[]> {
      const standing = (await provider.standing?.list(signal())) ?? [];
      const marks = await Promise.all(
        lab.machines.map(async ({ home }) => {
          const places = [join(home, '.slipway-static.holder'), join(home, '../lib/slipway-static.holder')];
          const names = await Promise.all(places.map((place) => readdir(place).catch(() => [])));
          return names
            .flat()
            .filter((name) => name === 'holder')
            .map(() => `${home} is marked`);
        }),
      );
      return [
        ...standing.filter(({ state }) => state !== 'free').map(({ name, state }) => `${name} ${state}`),
        ...marks.flat(),
      ];
    },
    subject(this: { readonly remains: () => Promise<readonly string[]> }): Subject {
      return { provider, again, installation, spec, remains: this.remains, guests: true, withinMs: 30_000 };
    },
  };
}

export type Lab = Awaited<ReturnType<typeof startLab>>;
