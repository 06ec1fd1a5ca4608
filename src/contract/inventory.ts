import { z } from 'zod';
import { envName, name, unixName, words } from './common.ts';

const host = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?$/, 'must be an IP address or a host name');
const port = z.int().min(1).max(65_535);
const hostKey = z
  .string()
  .regex(
    // Each begins with its own type: what is no key would be taken for a stranger's at the first login, and the machine out.
    /^(ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}|(ecdsa-sha2-nistp(256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY|384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQ|521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjE)|ssh-rsa AAAAB3NzaC1yc2E)[A-Za-z0-9+/]{50,}={0,2})( .*)?$/,
    'must be a public key, such as ssh-ed25519 AAAA… (on the machine: cat /etc/ssh/ssh_host_ed25519_key.pub)',
  )
  .describe(
    'the public key that the machine’s sshd serves (`cat /etc/ssh/ssh_host_ed25519_key.pub` there); another one is refused',
  );
const user = unixName.describe('who logs in, slipway and its leases; for all machines or for one');
const identityFile = z
  .string()
  .min(1)
  .max(4096)
  .describe(
    'a private key that lets slipway in, for all machines or for one: mode 0600, no passphrase; relative to the inventory, or `~/…`',
  );

const machine = z.strictObject({
  address: host.describe('where its sshd answers'),
  port: port.describe('22 when absent').exactOptional(),
  user: user.exactOptional(),
  hostKey,
  identityFile: identityFile.exactOptional(),
  labels: z
    .record(name, z.string().max(200))
    .describe('what a variant of a bundle can ask for, such as `gpu: a100`')
    .exactOptional(),
});

const power = z
  .strictObject({
    on: words.describe('switches the machine on'),
    off: words.describe('switches it off, hard'),
    reset: words.describe('off, then on, when absent').exactOptional(),
    status: words.describe('its last word is `on` or `off`').exactOptional(),
  })
  .describe(
    'programs with their arguments, run on the worker’s host about one machine, which is said as for `reload`; at most 60 s each; read when slipway starts',
  );

/** Rules between keys are looked at even where a key by itself is wrong: all mistakes are told at once. */
const evenWhenWrong = { when: ({ value }: { readonly value: unknown }) => typeof value === 'object' && value !== null };

/** The inventory of a `static` provider. */
export const inventoryFile = z
  .strictObject({
    user: user.exactOptional(),
    identityFile: identityFile.exactOptional(),
    resetCommands: z
      .array(words)
      .max(50)
      .describe('programs with their arguments, run on a machine that is given back, after those of the bundle')
      .exactOptional(),
    reload: words
      .describe(
        'a program with its arguments, run on the worker’s host about a machine whose reset failed: it makes the machine anew, with the same host key; `SLIPWAY_MACHINE_NAME`, `_ADDRESS`, `_PORT` and `_USER` say which; it may be run again',
      )
      .exactOptional(),
    power: power.exactOptional(),
    secretEnv: z
      .record(envName, z.string().min(1).max(128))
      .describe(
        'of `reload` and `power`: variables of their environment, each with the name of one of `secrets:` in slipway.yaml',
      )
      .exactOptional(),
    machines: z.record(name, machine).describe('by name'),
  })
  .superRefine((file, context) => {
    const at = new Map<string, string>();
    if (typeof file.machines !== 'object' || file.machines === null) return;
    for (const [name, each] of Object.entries(file.machines)) {
      if (typeof each !== 'object' || each === null) continue;
      const raise = (key: string, message: string): void =>
        context.addIssue({ code: 'custom', path: ['machines', name, key], message });
      for (const key of ['user', 'identityFile'] as const)
        if (!(key in each) && !(key in file)) raise(key, 'is missing: say it here, or above for all machines');
      // Of a name the case means nothing.
      const where = `${each.address} port ${String(each.port ?? 22)}`.toLowerCase();
      const other = at.get(where);
      if (other !== undefined) raise('address', `is machine ${other}: a machine is lent to one lease at a time`);
      at.set(where, other ?? name);
    }
  }, evenWhenWrong);
