import { createHash, timingSafeEqual } from 'node:crypto';
import { open } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { ownerPattern } from '../domain/owner.ts';
import { stampOf } from './bundle-files.ts';
import { readSettings } from './settings.ts';
import type { StateFolder } from './state-folder.ts';

/** Shorter ones can be guessed; the stack's own has 43. */
const shortest = 16;
const longestBytes = 4_096;

/** Whose token it is. The files are looked at on every call, and read again when they changed. */
export type OwnerOf = (token: string) => Promise<string | undefined>;

interface Source {
  readonly owner: string;
  readonly file: string;
}
interface Token extends Source {
  readonly digest: Buffer;
}

/**
 * The tokens of the API: the stack's own, which belongs to the user that runs it, and those of `tokens:` in `slipway.yaml`.
 * @param say told why a token is not in force, once for each change; never a token
 */
export function ownersByToken(state: StateFolder, say: (problem: string) => void): OwnerOf {
  let held: { readonly stamp: string; readonly tokens: readonly Token[] } | undefined;

  async function current(): Promise<readonly Token[]> {
    const settings = await readSettings(state);
    const named = Object.entries(settings.tokens).map(([owner, { file }]) => ({ owner, file }));
    const sources = [{ owner: userName(), file: state.token }, ...named];
    const stamp = `${JSON.stringify(sources)} ${await stampOf(sources.map(({ file }) => file))}`;
    if (held?.stamp === stamp) return held.tokens;
    const tokens: Token[] = [];
    for (const source of sources) {
      const read = await readToken(source);
      if ('digest' in read) tokens.push(read);
      else say(`The token of ${source.owner} is not in force: ${source.file} ${read.why}.`);
    }
    const unique = tokens.filter((token) => {
      const other = tokens.find(({ owner, digest }) => owner !== token.owner && digest.equals(token.digest));
      if (other) say(`The token of ${token.owner} is not in force: ${other.owner} has the same one.`);
      return !other;
    });
    held = { stamp, tokens: unique };
    return unique;
  }

  return async (token) => {
    const given = digestOf(token);
    // Digests: equal lengths whatever was sent. All of them: no time tells whose it is, or how much of it is right.
    return (await current()).reduce<string | undefined>(
      (found, { owner, digest }) => (timingSafeEqual(digest, given) ? owner : found),
      undefined,
    );
  };
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();

/** A name that can be listed by: of a user of a directory service it may hold more letters. */
function userName(): string {
  let name: string;
  try {
    name = userInfo().username;
  } catch {
    name = `uid-${process.getuid?.() ?? 0}`; // a container's user may have no entry
  }
  return ownerPattern.test(name) ? name : `u-${name.replaceAll(/[^A-Za-z0-9._-]/g, '-')}`.slice(0, 128);
}

async function readToken(source: Source): Promise<Token | { readonly why: string }> {
  try {
    const handle = await open(source.file, 'r');
    try {
      const { mode, size } = await handle.stat();
      if ((mode & 0o077) !== 0) return { why: `may be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600` };
      if (size > longestBytes) return { why: `has more than ${longestBytes} bytes` };
      const token = (await handle.readFile('utf8')).trim();
      if (/\s/.test(token)) return { why: 'holds more than one word' };
      if (token.length < shortest) return { why: `holds fewer than ${shortest} characters` };
      return { ...source, digest: digestOf(token) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return { why: code === 'ENOENT' ? 'is not there' : `cannot be read (${code})` };
  }
}
