import { createHash } from 'node:crypto';
import { DomainError, type FailureType } from '../domain/failure.ts';
import { fileSource, givenUp, isStalled, tallied, type FileSource } from './file-source.ts';
import type { FileSpec, InstalledFile } from './guest.ts';
import type { GuestShell, Input } from './shell.ts';

/** What fits is sent, checked and put in place by one exec. */
const smallBytes = 256 * 1024;

/**
 * Installs a file: part file beside the target, digest checked on the guest, owner, mode, sync, rename. A later call with
 * the same id goes on with what has arrived.
 * @throws DomainError CustomizeFailed (no such folder, no right, no space, other digest), GuestUnreachable (again later)
 */
export async function installFile(shell: GuestShell, file: FileSpec, signal: AbortSignal): Promise<InstalledFile> {
  const header = headerOf(file);
  const source = await fileSource(file, signal);
  if (file.sha256 !== undefined && source.sha256 !== file.sha256) throw otherDigest(file, source.sha256 ?? 'unknown');
  const say = async (words: readonly string[], body: () => Input = () => []): Promise<readonly string[]> => {
    const lines = await shell.say('file', words, () => withHeader(header, body()), signal);
    const line = lines.at(-1) ?? [];
    if (line[0] === 'failed') throw failed(shell.link.address.name, file, line);
    return line;
  };

  if (source.bytes !== undefined && source.bytes <= smallBytes && source.sha256 !== undefined) {
    return installed(await say(['put', String(source.bytes), source.sha256], () => whole(source, signal)));
  }
  return await large(source, file, say, signal);
}

/** From its start, as often as it is asked for. */
async function* whole(source: FileSource, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* (await source.open(0, signal)).body;
}

type Say = (words: readonly string[], body?: () => Input) => Promise<readonly string[]>;

/** In a row, without a byte that counts: then its server is no good. */
const mostStalls = 3;

async function large(source: FileSource, file: FileSpec, say: Say, signal: AbortSignal): Promise<InstalledFile> {
  const arrived = async (): Promise<number> => {
    const here = Number((await say(['offset']))[1]);
    return source.sha256 === undefined || (source.bytes !== undefined && here > source.bytes) ? 0 : here;
  };
  let stalls = 0;
  let here = await arrived();
  for (let fresh = here === 0; ;) {
    const sent = await send(source, here, say, signal).catch((error: unknown) => {
      if (isStalled(error)) return error;
      throw error;
    });
    if (sent instanceof DomainError) {
      const now = await arrived();
      stalls = now > here ? 1 : stalls + 1;
      if (stalls === mostStalls) {
        await say(['drop']);
        throw givenUp(sent, stalls);
      }
      here = now;
      fresh ||= here === 0;
      continue;
    }
    const { from, total, bytes } = sent;
    // A source that ended early has thrown; what the guest counts less was lost on the way.
    if (total !== from + bytes) {
      throw new DomainError('GuestUnreachable', `${file.path}: ${total} of ${from + bytes} bytes reached the guest`);
    }
    try {
      return installed(await say(['finish', String(total), source.sha256 ?? sent.sha256]));
    } catch (error) {
      // What an earlier attempt had left was not the beginning of this file: once more from its start.
      const joined = error instanceof DomainError && error.details?.['code'] === 'sum' && !fresh && from > 0;
      if (!joined) throw error;
      fresh = true;
      here = 0;
    }
  }
}

interface Sent {
  readonly from: number;
  /** Of the file, that are on the guest now. */
  readonly total: number;
  readonly bytes: number;
  /** Of what was sent. */
  readonly sha256: string;
}

async function send(source: FileSource, here: number, say: Say, signal: AbortSignal): Promise<Sent> {
  const { from, body } = await source.open(here, signal);
  const tally = { hash: createHash('sha256'), bytes: 0 };
  const total = Number((await say(['append', String(from)], () => tallied(body, tally)))[1]);
  return { from, total, bytes: tally.bytes, sha256: tally.hash.digest('hex') };
}

function installed(line: readonly string[]): InstalledFile {
  const [, bytes, sha256 = '', ...path] = line;
  return { bytes: Number(bytes), sha256, path: path.join(' ') };
}

/** One line each; names and paths travel on stdin, so that nothing needs quoting. */
function headerOf(file: FileSpec): readonly string[] {
  const mode = file.mode ?? '0644';
  if (!/^(\/|~\/)./.test(file.path) || file.path.endsWith('/') || /\/\.{1,2}$/.test(file.path)) {
    throw invalid(file, 'the path must be absolute, or begin with ~/, and name a file');
  }
  if (!/^[0-7]{3,4}$/.test(mode)) throw invalid(file, `the mode ${mode} is not octal, such as 0644`);
  for (const name of [file.owner, file.group]) {
    if (name !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name))
      throw invalid(file, `${name} is no name of an owner`);
  }
  // A line feed would end the line early; the name and its part file must both fit into 255 bytes.
  if (/[\n\r\0]/.test(file.path)) throw invalid(file, 'the path holds a control character');
  const id = createHash('sha256').update(file.id).digest('hex').slice(0, 16);
  const name = file.path.slice(file.path.lastIndexOf('/') + 1);
  const part = `.${Buffer.byteLength(name) <= 200 ? name : 'slipway'}.${id}.part`;
  return [
    file.path,
    part,
    file.owner ?? '',
    file.group ?? '',
    mode,
    file.parents === true ? '1' : '0',
    file.tree === true ? '1' : '0',
  ];
}

async function* withHeader(header: readonly string[], body: Input): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${header.join('\n')}\n`);
  yield* body;
}

const invalid = (file: FileSpec, why: string): DomainError =>
  new DomainError('InvalidRequest', `${JSON.stringify(file.path)} cannot be installed: ${why}`);

const otherDigest = (file: FileSpec, found: string): DomainError =>
  new DomainError('CustomizeFailed', `${file.path}: the file has the sha256 ${found}, not ${file.sha256}`, {
    hint: 'The source is not what the bundle or request was written for.',
    details: { code: 'sum' },
  });

/** `failed CODE text` of the script. */
function failed(machine: string, file: FileSpec, line: readonly string[]): DomainError {
  const [, code = 'other', ...rest] = line;
  if (code === 'sum') return otherDigest(file, rest.join(' '));
  const type: FailureType = code === 'size' ? 'GuestUnreachable' : 'CustomizeFailed';
  return new DomainError(
    type,
    `${file.path} cannot be installed on ${machine}: ${reasons[code] ?? ''}${rest.join(' ')}`,
    {
      ...(hints[code] === undefined ? {} : { hint: hints[code] }),
      details: { code },
    },
  );
}

const reasons: Readonly<Record<string, string>> = {
  full: 'the disk is full: ',
  denied: 'no permission: ',
  readonly: 'the file system is read-only: ',
  owner: 'the owner cannot be set: ',
};
const hints: Readonly<Record<string, string>> = {
  nofolder: 'Make the folder first, or have it made: parents: true in a bundle, --parents of file put.',
  isfolder: 'Name the file in it; `file put` takes a path that ends with / for that.',
  rights: 'On a plain machine only the login user’s own folders can be written: use a path below ~/.',
  denied: 'Use a path that the login user may write, or a login user with sudo.',
  full: 'Give the machine a larger disk.',
  owner: 'The owner and group must exist on the guest.',
  archive: 'A folder travels as a tar archive; the guest needs tar(1).',
  notfolder: 'Remove it first, or choose another path.',
  size: 'The connection dropped; it is tried again.',
};
