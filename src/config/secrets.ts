import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DomainError } from '../domain/failure.ts';
import { idPattern, idRule } from '../domain/ids.ts';
import { sealedPrefix } from '../domain/lease-task.ts';
import { replaceFile } from '../host/atomic-file.ts';
import { runSecretCommand, secretLimitBytes } from './secret-command.ts';
import { readSettings } from './settings.ts';
import type { SecretSource, Settings } from './settings.ts';
import type { StateFolder } from './state-folder.ts';
import { nearWords } from '../domain/near-words.ts';

const strictText = (bytes: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

/** File format: version, nonce, tag, ciphertext (NIST SP 800-38D; a fresh 96-bit nonce for each seal). */
const version = 1;
const nonceBytes = 12;
const tagBytes = 16;
const headBytes = 1 + nonceBytes + tagBytes;
const cipher = 'aes-256-gcm';

/** A key for each lease keeps the number of nonces under one key small. */
const sealingKey = (installationKey: Uint8Array, leaseId: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', installationKey, new Uint8Array(0), `slipway sealed secret v1\0${leaseId}`, 32));

/** Binds a value to its place: a file moved to another lease or name does not open. */
const boundTo = (leaseId: string, name: string): Buffer => Buffer.from(JSON.stringify([version, leaseId, name]));

function folderOf(state: StateFolder, leaseId: string): string {
  if (!idPattern.test(leaseId)) {
    throw new DomainError('InvalidRequest', `${JSON.stringify(leaseId.slice(0, 80))} is no lease id.`, {
      hint: `It is ${idRule}.`,
    });
  }
  return join(state.sealed, leaseId);
}

function fileOf(state: StateFolder, leaseId: string, name: string): string {
  if (name === '' || name.length > 128) {
    throw new DomainError('InvalidRequest', "A secret's name has 1 to 128 characters.");
  }
  // Names are free text, file names are not.
  return join(folderOf(state, leaseId), createHash('sha256').update(name).digest('hex'));
}

/** The bytes as the text that an environment variable can hold; says nothing of them otherwise. */
function assertText(leaseId: string, name: string, bytes: Uint8Array): void {
  const raise = (why: string): never => {
    throw new DomainError('InvalidRequest', `Secret \`${name}\` of lease ${leaseId} ${why}.`, {
      hint: 'Send large or binary secrets as a file.',
    });
  };
  if (bytes.length > secretLimitBytes) raise(`is larger than the limit of ${secretLimitBytes} bytes`);
  if (bytes.includes(0)) raise('holds a NUL, which no environment variable can');
  try {
    strictText(bytes);
  } catch {
    raise('is not UTF-8 text');
  }
}

/**
 * Seals a caller's secret for one lease, in `sealed/<lease>/` (0600); replaces one of the same name. UTF-8 text without
 * NUL, at most 64 KiB.
 * @throws DomainError InvalidRequest, never with the value
 */
export async function sealSecret(
  state: StateFolder,
  installationKey: Uint8Array,
  leaseId: string,
  name: string,
  value: string | Uint8Array,
): Promise<void> {
  const path = fileOf(state, leaseId, name);
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  assertText(leaseId, name, bytes);
  const nonce = randomBytes(nonceBytes);
  const sealing = createCipheriv(cipher, sealingKey(installationKey, leaseId), nonce);
  sealing.setAAD(boundTo(leaseId, name));
  const sealed = Buffer.concat([sealing.update(bytes), sealing.final()]);
  await mkdir(folderOf(state, leaseId), { recursive: true, mode: 0o700 });
  await replaceFile(path, Buffer.concat([Buffer.of(version), nonce, sealing.getAuthTag(), sealed]));
}

/** @throws DomainError NotFound; Internal when the file was sealed under another installation key, or altered */
export async function openSealedSecret(
  state: StateFolder,
  installationKey: Uint8Array,
  leaseId: string,
  name: string,
): Promise<string> {
  const path = fileOf(state, leaseId, name);
  let file: Buffer;
  try {
    file = await readFile(path);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
    throw new DomainError('NotFound', `Lease ${leaseId} has no secret \`${name}\`.`, {
      hint: `Send it first: PUT /v1/leases/${leaseId}/secrets/<name>. Secrets are forgotten when their lease ends.`,
    });
  }
  try {
    if (file[0] !== version || file.length < headBytes) throw new Error('not a sealed secret');
    const key = sealingKey(installationKey, leaseId);
    const opening = createDecipheriv(cipher, key, file.subarray(1, 1 + nonceBytes), { authTagLength: tagBytes });
    opening.setAAD(boundTo(leaseId, name));
    opening.setAuthTag(file.subarray(1 + nonceBytes, headBytes));
    return Buffer.concat([opening.update(file.subarray(headBytes)), opening.final()]).toString('utf8');
  } catch (cause) {
    throw new DomainError('Internal', `Secret \`${name}\` of lease ${leaseId} cannot be opened (${path}).`, {
      hint: 'It was sealed under another installation key, or altered; send it again.',
      cause,
    });
  }
}

/** Removes all sealed secrets of a lease. Repeatable. */
export async function forgetSealedSecrets(state: StateFolder, leaseId: string): Promise<void> {
  await rm(folderOf(state, leaseId), { recursive: true, force: true });
}

/** Secret managers answer within seconds, or are asked again by the task's retry. */
const commandWithinMs = 10_000;

/** The value of one source, or why there is none; neither tells anything of the value. */
async function valueOf(source: SecretSource, settings: Settings): Promise<{ bytes: Uint8Array } | { why: string }> {
  if ('env' in source) {
    const value = process.env[source.env];
    return value === undefined ? { why: `the environment has no ${source.env}` } : { bytes: Buffer.from(value) };
  }
  if ('command' in source) {
    const end = await runSecretCommand(source.command, dirname(settings.file), commandWithinMs);
    return end.ok ? { bytes: end.bytes } : { why: `its command ${source.command[0] ?? ''} ${end.why}` };
  }
  try {
    const { size } = await stat(source.file);
    if (size > secretLimitBytes) return { why: `${source.file} has more than ${secretLimitBytes} bytes` };
    return { bytes: await readFile(source.file) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return { why: code === 'ENOENT' ? `${source.file} is not there` : `${source.file} cannot be read (${code})` };
  }
}

/**
 * Where the operator keeps the secret.
 * @throws DomainError InvalidRequest for a name that `slipway.yaml` does not have, with near ones
 */
export function sourceOfSecret(settings: Settings, name: string): SecretSource {
  const source = Object.hasOwn(settings.secrets, name) ? settings.secrets[name] : undefined;
  if (source !== undefined) return source;
  const near = nearWords(name, Object.keys(settings.secrets));
  throw new DomainError(
    'InvalidRequest',
    `No secret \`${name}\`.${near.length > 0 ? ` Near: ${near.join(', ')}.` : ''}`,
    { hint: `The operator names secrets under \`secrets:\` of ${settings.file}.` },
  );
}

/**
 * The value of an operator's secret, as text, without the newline that a file or command ends with.
 * @throws DomainError InvalidRequest for a name that `slipway.yaml` does not have; Internal (retryable) when its source
 * gives none. No message holds a value.
 */
export async function resolveSecret(settings: Settings, name: string): Promise<string> {
  const source = sourceOfSecret(settings, name);
  const raise = (why: string): never => {
    throw new DomainError('Internal', `Secret \`${name}\` could not be had: ${why}.`, {
      hint: `Look at secrets.${name} in ${settings.file}.`,
    });
  };
  const got = await valueOf(source, settings);
  if ('why' in got) return raise(got.why);
  let text: string;
  try {
    text = strictText(got.bytes);
  } catch {
    return raise('it is not UTF-8 text, and an environment variable must be');
  }
  if (!('env' in source)) text = text.replace(/\r?\n$/, '');
  return text.includes('\0') ? raise('it holds a NUL, which no environment variable can') : text;
}

/** Secrets by the names that tasks use: `NAME` is the operator's, `lease:NAME` the caller's own. */
export interface Secrets {
  /** @throws DomainError as `resolveSecret` and `openSealedSecret` */
  value(leaseId: string, name: string): Promise<string>;
  /** Repeatable. */
  forget(leaseId: string): Promise<void>;
}

export function createSecrets(state: StateFolder, installationKey: Uint8Array): Secrets {
  return {
    value: async (leaseId, name) =>
      name.startsWith(sealedPrefix)
        ? openSealedSecret(state, installationKey, leaseId, name.slice(sealedPrefix.length))
        : resolveSecret(await readSettings(state), name),
    forget: (leaseId) => forgetSealedSecrets(state, leaseId),
  };
}
