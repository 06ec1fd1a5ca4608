import { cloudConfigText, mergedConfig, type CloudConfig } from './cloud-config.ts';
import { lastStage } from './last-stage.ts';

/** A user that cloud-init makes. */
export interface GuestUser {
  readonly name: string;
  readonly groups?: readonly string[];
  readonly shell?: string;
  readonly home?: string;
  /** May do all as root, without a password. */
  readonly sudo?: boolean;
  readonly authorizedKeys?: readonly string[];
}

export interface GuestFile {
  readonly path: string;
  readonly text: string;
  readonly mode?: string;
  readonly owner?: string;
  readonly group?: string;
}

export interface GuestScript {
  readonly title?: string;
  /** Words of a program, or a text: for sh, or for the program that its first line names (`#!`). */
  readonly command: readonly string[] | { readonly shell: string };
  readonly env?: Readonly<Record<string, string>>;
  /** The next one runs even when it does not exit 0. */
  readonly allowFailure?: boolean;
}

/** What a machine does by itself as it first boots, in this order. */
export interface UserData {
  readonly users?: readonly GuestUser[];
  /** Of who logs in, beside ours. */
  readonly authorizedKeys?: readonly string[];
  readonly packages?: readonly string[];
  readonly files?: readonly GuestFile[];
  readonly scripts?: readonly GuestScript[];
  /** In cloud-init's own words; merged with what the others make. */
  readonly raw?: CloudConfig;
}

/** Whose first boot it is. */
export interface FirstBoot {
  readonly hostname: string;
  /** Who logs in, where that is not the image's own default user. */
  readonly loginUser?: string;
  readonly authorizedKeys: readonly string[];
  /** Injected; absent: the guest makes its own, and says which. */
  readonly hostKey?: { readonly privateKey: string; readonly publicKey: string };
  /** With it the guest calls home: posts its keys, then how its last stage ended. */
  readonly checkIn?: { readonly script: string; readonly bootString: string };
}

/** On the guest, root's: what it calls home with, and its last stage. */
export const bootFolder = '/var/lib/slipway/boot';
const paths = {
  checkIn: `${bootFolder}/check-in`,
  boot: `${bootFolder}/boot-string`,
  lastStage: `${bootFolder}/last-stage`,
} as const;

/** Once in each machine, before files are installed: an image of another one has all that it was told, and had done. */
const forgetAnother = ['cloud-init-per', 'instance', 'slipway-boot', 'rm', '-rf', bootFolder];

/** cloud-init installs files after this has begun; it waits for the script, and is not waited for. */
const startCheckIn = `(n=0; until [ -s ${paths.checkIn} ] || [ "$n" -ge 900 ]; do n=$((n + 1)); sleep 1; done; exec sh ${paths.checkIn} boot) </dev/null >>/var/log/slipway-check-in.log 2>&1 &`;

const fetchLastStage = `exec sh ${paths.checkIn} last-stage\n`;

const userEntry = ({ name, groups, shell, home, sudo, authorizedKeys }: GuestUser): CloudConfig => ({
  name,
  lock_passwd: true,
  shell: shell ?? '/bin/sh',
  ...(groups === undefined ? {} : { groups: [...groups] }),
  ...(home === undefined ? {} : { homedir: home }),
  ...(sudo === true ? { sudo: 'ALL=(ALL) NOPASSWD:ALL' } : {}),
  ...(authorizedKeys === undefined ? {} : { ssh_authorized_keys: [...authorizedKeys] }),
});

/** What it says of its own; the last stage is a file of the document, or fetched. */
function ownConfig(given: UserData, boot: FirstBoot, stage: string | undefined, fetched: boolean): CloudConfig {
  const { hostKey, checkIn, loginUser } = boot;
  const file = (path: string, content: string, permissions: string): CloudConfig => ({ path, permissions, content });
  const files = [
    ...(checkIn
      ? [file(paths.checkIn, checkIn.script, '0700'), file(paths.boot, `${checkIn.bootString}\n`, '0600')]
      : []),
    ...(stage === undefined ? [] : [file(paths.lastStage, fetched ? fetchLastStage : stage, '0700')]),
  ];
  const users = given.users ?? [];
  return {
    hostname: boot.hostname,
    preserve_hostname: false,
    ssh_deletekeys: true,
    ...(hostKey ? { ssh_keys: { ed25519_private: hostKey.privateKey, ed25519_public: hostKey.publicKey } } : {}),
    ssh_authorized_keys: [...boot.authorizedKeys, ...(given.authorizedKeys ?? [])],
    ...(loginUser === undefined ? {} : loginUser === 'root' ? { disable_root: false } : { user: { name: loginUser } }),
    ...(users.length > 0 || given.raw?.['users'] ? { users: ['default', ...users.map(userEntry)] } : {}),
    ...(given.packages ? { packages: [...given.packages] } : {}),
    ...(files.length > 0 ? { write_files: files } : {}),
    ...(checkIn ? { bootcmd: [forgetAnother, startCheckIn] } : {}),
    ...(stage === undefined ? {} : { runcmd: [['sh', paths.lastStage]] }),
  };
}

export interface Composed {
  /** The document. Secret: it may hold the host key, and the guest's token. */
  readonly text: string;
  /** Keys of `raw` that say otherwise than we do. */
  readonly conflicts: readonly (readonly (string | number)[])[];
}

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/**
 * The one document of a machine's first boot. Files and scripts belong to its last stage, which is a file of the document
 * or, where that would be longer than `maxBytes`, is fetched by the guest itself.
 */
export function composedUserData(given: UserData, boot: FirstBoot, maxBytes: number): Composed {
  const stage = lastStage(given.files ?? [], given.scripts ?? []);
  const made = (fetched: boolean): Composed => {
    const { config, conflicts } = mergedConfig(ownConfig(given, boot, stage, fetched), given.raw ?? {});
    return { text: cloudConfigText(config), conflicts };
  };
  const whole = made(false);
  return bytesOf(whole.text) <= maxBytes || stage === undefined || boot.checkIn === undefined ? whole : made(true);
}

/** Pure: the document with this boot string in place of the one that it has of another generation of the same machine. */
export function withBootString(text: string, bootString: string): string {
  const [, machine] = /^([^:]+~)\d+:/.exec(bootString) ?? [];
  if (machine === undefined) return text;
  // None of it is a letter that a document would write otherwise, or end it by.
  const another = new RegExp(`${machine.replaceAll(/[.+]/g, '\\$&')}\\d+:[^\\s"'\\\\]+`, 'g');
  return text.replaceAll(another, () => bootString);
}

/** What is said of any machine: no bundle may say otherwise. */
export const nobodysConfig: CloudConfig = ownConfig(
  {},
  { hostname: '', authorizedKeys: [], hostKey: { privateKey: '', publicKey: '' } },
  undefined,
  false,
);
