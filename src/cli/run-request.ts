import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { SlipwayClient } from '../client/client.ts';
import { DomainError } from '../domain/failure.ts';
import type { LeaseRequest, RequestFile } from '../domain/lease.ts';
import type { TaskSpec } from '../domain/task.ts';
import { isFolder, packed } from './archive.ts';
import type { Cli } from './context.ts';
import { spokenBytes } from './output/units.ts';
import type { CollectFlag, FileFlag, NamedValue } from './parse.ts';

/** What a command is run with: the flags that `run` and `task run` have in common. */
export interface CommandFlags {
  readonly env?: readonly NamedValue[];
  readonly secretEnv?: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly timeout?: number;
  readonly grace?: number;
  readonly stdin?: boolean;
  readonly shell?: string;
}

/** What a machine is leased with. */
export interface LeaseFlags {
  readonly bundle: string;
  readonly provider?: string;
  readonly param?: readonly (readonly [string, string])[];
  readonly file?: readonly FileFlag[];
  readonly ttl?: number;
  readonly attempts?: number;
  readonly acquire?: number;
  readonly keep?: number;
  readonly priority?: number;
  readonly key?: readonly string[];
  readonly collect?: readonly CollectFlag[];
  readonly notify?: string;
  readonly notifySecret?: string;
  readonly meta?: readonly (readonly [string, string])[];
}

const isEmpty = (value: object): boolean => Object.keys(value).length === 0;

/** @throws DomainError InvalidRequest when it is not said what to run */
export function commandOf(words: readonly string[], shell: string | undefined): TaskSpec['command'] {
  if (shell !== undefined && words.length === 0) return { shell };
  if (shell === undefined && words.length > 0) return words;
  throw new DomainError(
    'InvalidRequest',
    shell === undefined ? 'There is no command to run.' : 'Both a command and --shell were given.',
    {
      hint: "slipway run --bundle hello -- uname -a · or --shell 'a | b'",
    },
  );
}

/** Seals the caller's secrets, uploads its standard input, and answers the task as the API takes it. */
export async function taskSpecOf(
  cli: Cli,
  client: SlipwayClient,
  leaseId: string,
  words: readonly string[],
  flags: CommandFlags,
  signal: AbortSignal,
): Promise<TaskSpec> {
  const command = commandOf(words, flags.shell);
  const env = Object.fromEntries(
    (flags.env ?? []).map(({ name, value }) => [name, value ?? ownVariable(cli, name, '--env')]),
  );
  const secretEnv: Record<string, string> = {};
  for (const name of flags.secretEnv ?? []) {
    await client.leases.putSecret(leaseId, name, Buffer.from(ownVariable(cli, name, '--secret-env')));
    secretEnv[name] = `lease:${name}`;
  }
  const stdin = flags.stdin ? { blob: await uploadStdin(cli, client, signal) } : undefined;
  return {
    command,
    ...(isEmpty(env) ? {} : { env }),
    ...(isEmpty(secretEnv) ? {} : { secretEnv }),
    ...(flags.cwd === undefined ? {} : { cwd: flags.cwd }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(stdin ? { stdin } : {}),
    ...(flags.timeout === undefined ? {} : { limitMs: flags.timeout }),
    ...(flags.grace === undefined ? {} : { graceMs: flags.grace }),
  };
}

function ownVariable(cli: Cli, name: string, flag: string): string {
  const value = cli.io.env[name];
  if (value !== undefined) return value;
  throw new DomainError('InvalidRequest', `${flag} ${name}: there is no such variable in the environment here.`, {
    hint: `export ${name} first.`,
  });
}

/** Into a file first: the blob store wants the digest before the bytes. */
async function uploadStdin(cli: Cli, client: SlipwayClient, signal: AbortSignal): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-stdin-'));
  try {
    const path = join(folder, 'stdin');
    await pipeline(cli.io.stdin, createWriteStream(path, { mode: 0o600 }), { signal });
    return (await client.upload(path, signal)).sha256;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** As text: the bundle knows their types. @throws DomainError InvalidRequest for one that is given twice */
function parametersOf(given: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  const names = given.map(([name]) => name);
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice === undefined) return Object.fromEntries(given);
  throw new DomainError('InvalidRequest', `--param ${twice} is given twice.`, { hint: 'give each parameter once.' });
}

/** Below the path, when that ends with a slash. */
const pathBelow = (path: string, name: string): string => (path.endsWith('/') ? `${path}${name}` : path);

/** Uploads it, a folder as an archive; a URL is fetched by the worker. */
async function requestFileOf(
  cli: Cli,
  client: SlipwayClient,
  flag: FileFlag,
  signal: AbortSignal,
): Promise<RequestFile> {
  if ('url' in flag) return { ...flag, path: pathBelow(flag.path, basename(new URL(flag.url).pathname)) };
  const { local, ...target } = flag;
  const from = resolve(cli.io.cwd, local);
  const path = pathBelow(target.path, basename(from));
  const tree = await isFolder(from, local);
  if (tree && target.mode !== undefined) {
    throw new DomainError('InvalidRequest', `--file ${local}: a folder keeps the modes of what is in it.`, {
      hint: `--file ${local}:${target.path}`,
    });
  }
  const send = async (source: string): Promise<RequestFile> => {
    const { sha256, bytes } = await client.upload(source, signal);
    cli.say(`  ${local} uploaded · ${spokenBytes(bytes)}${tree ? ' as an archive' : ''} · for ${path}`);
    return { blob: sha256, ...target, path, ...(tree ? { tree } : {}) };
  };
  return tree ? packed(from, send) : send(from);
}

/** @throws DomainError InvalidRequest for one without the other: a call that nobody can prove is of no use */
function notifyOf({ notify: url, notifySecret: secret }: LeaseFlags): Pick<LeaseRequest, 'notify'> {
  if (url !== undefined && secret !== undefined) return { notify: { url, secret } };
  if (url === undefined && secret === undefined) return {};
  throw new DomainError('InvalidRequest', '--notify and --notify-secret go together.', {
    hint: '--notify https://ci.example.com/hook --notify-secret NAME, one of `secrets:` in slipway.yaml.',
  });
}

/** Uploads the files, and answers the lease as the API takes it. */
export async function leaseRequestOf(
  cli: Cli,
  client: SlipwayClient,
  leaseId: string,
  flags: LeaseFlags,
  signal: AbortSignal,
): Promise<LeaseRequest> {
  const notify = notifyOf(flags);
  const files: RequestFile[] = [];
  for (const flag of flags.file ?? []) files.push(await requestFileOf(cli, client, flag, signal));
  const metadata = Object.fromEntries(flags.meta ?? []);
  return {
    leaseId,
    bundle: flags.bundle,
    ...(flags.provider === undefined ? {} : { provider: flags.provider }),
    ...(flags.param === undefined ? {} : { parameters: parametersOf(flags.param) }),
    ...(files.length > 0 ? { files } : {}),
    ...(flags.ttl === undefined ? {} : { ttlMs: flags.ttl }),
    ...(flags.attempts === undefined ? {} : { attempts: flags.attempts }),
    ...(flags.acquire === undefined ? {} : { acquireWithinMs: flags.acquire }),
    ...(flags.keep === undefined ? {} : { holdOnFailureMs: flags.keep }),
    ...(flags.key === undefined ? {} : { authorizedKeys: flags.key }),
    ...(flags.collect === undefined ? {} : { collect: [...new Set(flags.collect.map(({ remote }) => remote))] }),
    ...notify,
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(isEmpty(metadata) ? {} : { metadata }),
  };
}
