import { randomBytes, randomUUID } from 'node:crypto';
import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../domain/failure.ts';
import { shellWord } from '../../domain/shell-word.ts';
import type { CreateSpec } from '../provider.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { inFolder } from './arguments.ts';
import { publicKeyOf } from './seed.ts';

/** What a template is told, and a clone finds in its place must be as long: QEMU's configuration has fixed sizes. */
const identityBytes = 16_384;
const toldBytes = 16;
const answerBytes = 4_096;

/** Keys of a cloud-init document that give a machine its identity, and nothing more. */
const identityKeys = new Set([
  'hostname',
  'preserve_hostname',
  'ssh_deletekeys',
  'ssh_keys',
  'ssh_authorized_keys',
  'disable_root',
  'user',
]);

/** Pure: whether cloud-init has anything to do in a clone. */
export function isMoreThanIdentity(userData: string | undefined): boolean {
  if (userData === undefined) return false;
  const [head, ...rest] = userData.split('\n');
  if (head?.trim() !== '#cloud-config') return true;
  try {
    // As the core writes it, JSON; what is other YAML may hold anything.
    const config: unknown = JSON.parse(rest.join('\n'));
    return typeof config !== 'object' || config === null || Object.keys(config).some((key) => !identityKeys.has(key));
  } catch {
    return true;
  }
}

/**
 * Makes the guest another one than its template, before anybody can log in; then it answers. Words of the shell itself where
 * there are any: without an accelerator each program costs as long as all of them.
 */
export function identityScript(spec: CreateSpec, user: string): string {
  const { hostname, hostKey, authorizedKeys, userData } = spec;
  const ownKey = !isMoreThanIdentity(userData);
  const lines = [
    `date -s @${(Date.now() / 1_000).toFixed(3)}`,
    // Where the kernel does not draw anew by itself (vmgenid); perl is of every Debian.
    put(randomBytes(64).toString('hex'), '/dev/urandom'),
    `drawn() { [ -d /sys/bus/acpi/drivers/vmgenid ] || perl -e 'exit !(open(F, ">", "/dev/urandom") && ioctl(F, 0x5207, 0))'; }`,
    // Without random numbers of its own it would make the key that every other clone makes.
    ...(ownKey ? [`drawn && ssh-keygen -q -t ed25519 -N '' -C '' -f ${keyFile} &`] : ['drawn &', ...given(hostKey)]),
    `while IFS=: read -r name x x x x home x && [ "$name" != ${user} ]; do :; done </etc/passwd`,
    put(authorizedKeys.join('\n'), '"$home/.ssh/authorized_keys"'),
    put(hostname, '/proc/sys/kernel/hostname'),
    put(hostname, '/etc/hostname'),
    `echo 127.0.1.1 ${hostname} >>/etc/hosts`,
    put(randomUUID().replaceAll('-', ''), '/etc/machine-id'),
    // The kernel drew it in the template; another boot has one of its own.
    put(randomUUID(), '/run/slipway-boot-id'),
    'mount --bind -o ro /run/slipway-boot-id /proc/sys/kernel/random/boot_id',
    // Whoever gives it a host key waits for cloud-init as long as there is no result.
    ...(ownKey ? [] : ['rm -rf /run/cloud-init/result.json /var/lib/cloud/instance/sem']),
    'wait',
    ...(ownKey ? told(hostKey) : []),
    'if [ -s /run/slipway-sshd ]; then',
    '  read -r pid </run/slipway-sshd',
    // It is stopped; the first thing that it sees is that it has to start anew, with the keys that are there now.
    '  if [ -e /run/slipway-sshd-reads-keys ]; then echo $pid >/run/sshd.pid; else kill -HUP $pid; fi',
    '  kill -CONT $pid',
    '  until [ -s /run/sshd.pid ]; do sleep 0.01; done',
    'else',
    '  xargs -r systemctl start </run/slipway-ssh-units',
    'fi',
    ...(ownKey ? [] : cloudInitAgain),
    `echo done >${port}`,
    `chown ${user}: "$home/.ssh/authorized_keys"`,
    'sync',
    'exit 0',
  ];
  return `${lines.join('\n')}\n`;
}

const port = '/dev/virtio-ports/slipway.answer';
const keyFile = '/etc/ssh/ssh_host_ed25519_key';
const put = (text: string, file: string): string => `printf '%s\\n' ${shellWord(text)} >${file}`;

/** cloud-init is about to put the same one there. */
const given = (hostKey: string): readonly string[] => [
  'umask 077',
  put(hostKey.trim(), keyFile),
  'umask 022',
  put(publicKeyOf(hostKey), `${keyFile}.pub`),
];

/** The one that it has made, whose private half nobody else has ever had: the port is this host's alone, and nobody can log in yet. */
const told = (hostKey: string): readonly string[] => [
  `if [ -s ${keyFile} ] && read -r type key x <${keyFile}.pub; then`,
  `  echo "key $type $key" >${port}`,
  'else',
  ...given(hostKey),
  'fi',
];

/**
 * Its seed is another disk than the template's, of which the kernel may remember something. What its commands have started goes
 * on when it has ended, also badly, as after a boot: the check-in waits for that end.
 */
const cloudInitAgain = [
  'for disk in /dev/vd[a-z] /dev/vd[a-z]1; do blockdev --flushbufs $disk; done',
  'cloud-init clean --logs',
  `systemd-run --collect --no-block --unit=slipway-cloud-init --property=KillMode=process sh -c 'cloud-init init --local && cloud-init init; cloud-init modules --mode=config; cloud-init modules --mode=final'`,
];

/** @throws DomainError InvalidRequest for what does not fit */
export async function writeIdentity(folder: string, script: string | undefined): Promise<void> {
  const text = script ?? '';
  if (Buffer.byteLength(text) > identityBytes)
    throw new DomainError('InvalidRequest', `The keys of a clone take more than ${identityBytes} bytes.`);
  await writeFile(join(folder, inFolder.identity), text.padEnd(identityBytes, '\n'), { mode: 0o600 });
  await writeFile(join(folder, inFolder.told), `${script === undefined ? '0' : '1'}\n`.padEnd(toldBytes, '\n'), {
    mode: 0o600,
  });
}

/** What its guest has said, or nothing yet: the first words only, for root of a guest may say anything once it is somebody. */
export async function answerOf(folder: string): Promise<Answer> {
  const file = join(folder, inFolder.answer);
  const handle = await open(file, 'r').catch(noneIfMissing);
  if (!handle) return { waiting: false, done: false };
  try {
    if ((await handle.stat()).size > answerBytes) await truncate(file, answerBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(answerBytes), 0, answerBytes, 0);
    return readAnswer(buffer.toString('latin1', 0, bytesRead));
  } finally {
    await handle.close();
  }
}

export interface Answer {
  /** A template's, to be cloned. */
  readonly waiting: boolean;
  /** A clone's: it is who it should be. */
  readonly done: boolean;
  /** OpenSSH public key of the one that it has made. */
  readonly hostKey?: string;
}

/** Pure: what was said after `done` is not of our script. */
export function readAnswer(text: string): Answer {
  const lines = text.split('\n');
  // The last is not whole.
  lines.pop();
  const done = lines.indexOf('done');
  const [, hostKey] =
    lines
      .slice(0, Math.max(done, 0))
      .map((line) => /^key (ssh-ed25519 [A-Za-z0-9+/=]{1,200})$/.exec(line))
      .find((match) => match !== null) ?? [];
  return { waiting: lines.includes('waiting'), done: done >= 0, ...(hostKey === undefined ? {} : { hostKey }) };
}
