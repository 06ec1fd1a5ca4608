import { z } from 'zod';
import { mergedConfig } from '../domain/cloud-config.ts';
import { isMap } from '../domain/is-map.ts';
import { nearWords } from '../domain/near-words.ts';
import { nobodysConfig } from '../domain/user-data.ts';
import { envMap, octalMode, publicKeys, unixName, word, words } from './common.ts';

const absolutePath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*[^\0/]$/, 'must be the absolute path of a file');

const user = z.strictObject({
  name: unixName.describe('its name'),
  groups: z.array(unixName).max(50).describe('groups beside its own').exactOptional(),
  shell: absolutePath.describe('its login shell; /bin/sh when absent').exactOptional(),
  home: absolutePath.describe('its home').exactOptional(),
  sudo: z.boolean().describe('may do all as root, without a password').exactOptional(),
  authorizedKeys: publicKeys.describe('who may log in as it').exactOptional(),
});

const file = z.strictObject({
  path: absolutePath.describe('where; missing folders are made'),
  text: z.string().describe('what it holds'),
  mode: octalMode.describe("octal, quoted; `'0644'` when absent").exactOptional(),
  owner: unixName.describe('a user of the machine; root when absent').exactOptional(),
  group: unixName.describe('a group of the machine').exactOptional(),
  substitute: z.boolean().describe('put the values of parameters into `text`').exactOptional(),
});

const script = z
  .strictObject({
    title: z.string().min(1).max(120).describe('what it is called when it fails').exactOptional(),
    run: words.describe('a program and its arguments, no shell; `${parameter}` as an item by itself').exactOptional(),
    shell: word
      .min(1)
      .describe(
        'a text for sh, or for the program of its first line (`#!`); parameters are `$SLIPWAY_PARAM_NAME` there',
      )
      .exactOptional(),
    env: envMap.describe('its variables, beside those of the parameters').exactOptional(),
    allowFailure: z.boolean().describe('go on when it does not exit 0').exactOptional(),
  })
  .superRefine(
    (script, context) => {
      if ('run' in script === 'shell' in script) context.addIssue('needs one of `run` and `shell`');
    },
    { when: ({ value }) => isMap(value) },
  );

const list = { is: Array.isArray, called: 'a list' };
const map = { is: isMap, called: 'a map' };
const text = { is: (value: unknown) => typeof value === 'string', called: 'text' };
const truth = { is: (value: unknown) => typeof value === 'boolean', called: 'true or false' };
/** More than one shape will do. */
const any = { is: () => true, called: '' };

/** The keys of cloud-init that operators write, and what cloud-init wants there. */
const shapes: Readonly<Record<string, { readonly is: (value: unknown) => boolean; readonly called: string }>> = {
  ansible: map,
  apk_repos: map,
  apt: map,
  apt_pipelining: any,
  bootcmd: list,
  byobu_by_default: text,
  ca_certs: map,
  chef: map,
  chpasswd: map,
  create_hostname_file: truth,
  device_aliases: map,
  disable_ec2_metadata: truth,
  disable_root: any,
  disable_root_opts: text,
  disk_setup: map,
  drivers: map,
  fan: map,
  final_message: text,
  fqdn: text,
  fs_setup: list,
  groups: any,
  growpart: map,
  grub_dpkg: any,
  hostname: text,
  keyboard: map,
  landscape: map,
  locale: any,
  locale_configfile: text,
  lxd: map,
  manage_etc_hosts: any,
  manage_resolv_conf: truth,
  mcollective: map,
  merge_how: any,
  merge_type: any,
  mount_default_fields: list,
  mounts: list,
  no_ssh_fingerprints: truth,
  ntp: any,
  output: map,
  package_reboot_if_required: truth,
  package_update: truth,
  package_upgrade: truth,
  packages: list,
  password: text,
  phone_home: map,
  power_state: map,
  prefer_fqdn_over_hostname: truth,
  preserve_hostname: truth,
  puppet: map,
  random_seed: map,
  reporting: map,
  resize_rootfs: any,
  resolv_conf: map,
  rh_subscription: map,
  rsyslog: any,
  runcmd: list,
  salt_minion: map,
  snap: map,
  ssh: map,
  ssh_authorized_keys: list,
  ssh_deletekeys: truth,
  ssh_fp_console_blacklist: list,
  ssh_genkeytypes: list,
  ssh_import_id: list,
  ssh_key_console_blacklist: list,
  ssh_keys: map,
  ssh_publish_hostkeys: map,
  ssh_pwauth: any,
  ssh_quiet_keygen: truth,
  swap: map,
  system_info: map,
  timezone: text,
  ubuntu_advantage: map,
  ubuntu_pro: map,
  updates: map,
  user: any,
  users: list,
  vendor_data: map,
  wireguard: map,
  write_files: list,
  yum_repo_dir: text,
  yum_repos: map,
  zypper: map,
};

type Raise = (path: readonly (string | number)[], message: string) => void;

function checkShape(key: string, value: unknown, raise: Raise): void {
  const shape = Object.hasOwn(shapes, key) ? shapes[key] : undefined;
  if (!shape) {
    const near = nearWords(key, Object.keys(shapes))[0];
    if (near !== undefined) raise([key], `is no key of cloud-init; did you mean ${near}?`);
  } else if (!shape.is(value)) raise([key], `cloud-init wants ${shape.called} here`);
}

/** What is wrong in it silently does something else: a number where a mode was meant, an entry without its key. */
function checkEntries(raw: Readonly<Record<string, unknown>>, raise: Raise): void {
  const entries = (key: string): readonly unknown[] => (Array.isArray(raw[key]) ? (raw[key] as unknown[]) : []);
  for (const [n, entry] of entries('write_files').entries()) {
    if (!isMap(entry)) raise(['write_files', n], 'must be a map with `path` and `content`');
    else if (typeof entry['path'] !== 'string' || !entry['path'].startsWith('/'))
      raise(['write_files', n], 'needs an absolute `path`');
    else if ('permissions' in entry && typeof entry['permissions'] !== 'string')
      raise(['write_files', n, 'permissions'], "must be quoted: octal text such as '0644'");
  }
  for (const [n, entry] of entries('users').entries()) {
    if (typeof entry !== 'string' && !(isMap(entry) && ('name' in entry || 'snapuser' in entry)))
      raise(['users', n], 'must be a name, or a map with `name`');
  }
  for (const key of ['runcmd', 'bootcmd'] as const) {
    for (const [n, entry] of entries(key).entries()) {
      if (typeof entry === 'string' || (Array.isArray(entry) && entry.every((each) => typeof each === 'string')))
        continue;
      raise([key, n], 'must be a text for sh, or a list of words, each text');
    }
  }
  for (const key of ['ssh_authorized_keys', 'packages'] as const) {
    for (const [n, entry] of entries(key).entries()) {
      if (typeof entry === 'string' || (key === 'packages' && typeof entry === 'object' && entry !== null)) continue;
      raise([key, n], 'must be text');
    }
  }
}

const raw = z.record(z.string(), z.unknown()).superRefine((config, context) => {
  const raise: Raise = (path, message) => context.addIssue({ code: 'custom', path: [...path], message });
  for (const [key, value] of Object.entries(config)) checkShape(key, value, raise);
  checkEntries(config, raise);
  for (const path of mergedConfig(nobodysConfig, config).conflicts) {
    raise(path, 'is slipway’s to say: take it out');
  }
});

/** The section `userData` of a bundle. */
export const userData = z.strictObject({
  users: z.array(user).max(50).describe('users to make').exactOptional(),
  authorizedKeys: publicKeys.describe('who may log in beside slipway, as the user that it logs in as').exactOptional(),
  packages: z.array(z.string().min(1).max(200)).max(500).describe('packages to install').exactOptional(),
  files: z.array(file).max(200).describe('then files, each whole or not at all').exactOptional(),
  scripts: z
    .array(script)
    .max(200)
    .describe('last these, as root, in this order; one that does not exit 0 ends the last stage')
    .exactOptional(),
  raw: raw
    .describe(
      'in cloud-init’s own words, merged with what slipway says: lists are appended, maps merged, contradictions refused',
    )
    .exactOptional(),
});
