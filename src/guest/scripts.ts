import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
const named = (kind: string, body: string): { readonly name: string; readonly body: string } => ({
  // The name carries the content: another version of us on the same guest has its own.
  name: `${kind}-${createHash('sha256').update(body).digest('hex').slice(0, 32)}.sh`,
  body,
});

const taskParts = ['task-protocol', 'task-run', 'task-stop', 'task-follow', 'task-verbs'];
/** The task protocol as one script. */
export const taskScript = taskParts.map((part) => read(`./${part}.sh`)).join('\n');

const resetParts = ['reset-protocol', 'reset-look', 'reset-undo', 'reset-verbs'];
/** The reset protocol as one script. */
export const resetScript = resetParts.map((part) => read(`./${part}.sh`)).join('\n');

const fileHead = read('./file-head.sh');
/** The script that installs files. */
export const fileScript = `${fileHead}\n${read('./file-protocol.sh')}`;
const prepare = read('./prepare.sh');
const scripts = {
  task: named('task', taskScript),
  file: named('file', fileScript),
  reset: named('reset', resetScript),
  holder: named('holder', read('./holder.sh')),
  fetch: named('fetch', `${fileHead}\n${read('./fetch-protocol.sh')}`),
} as const;
export type ScriptName = keyof typeof scripts;

/**
 * Where the protocol keeps its files on the guest: a place that survives a reboot. Only characters that no login shell
 * (csh and fish among them) takes for anything but themselves, `~` at the front excepted.
 */
export const baseFolder = (user: string): string => (user === 'root' ? '/var/lib/slipway' : '~/.slipway');

/** The exec line that runs a protocol script; words must be plain (see `plainWord`). */
export function scriptLine(base: string, script: ScriptName, words: readonly string[]): string {
  return ['sh', `${base}/bin/${scripts[script].name}`, ...words.map(plainWord)].join(' ');
}

/** A word that needs no quoting in any login shell; everything else travels on stdin. */
export function plainWord(word: string): string {
  if (!/^[A-Za-z0-9._-]+$/.test(word)) throw new TypeError(`not a plain word: ${JSON.stringify(word)}`);
  return word;
}

/**
 * What `sh` on the guest reads on stdin to tell its facts and to take the scripts.
 * @param fresh writes them over what is there: a tenant may have changed it
 */
export function prepareText(
  base: string,
  nonce: string,
  names: readonly ScriptName[] = ['task', 'file'],
  fresh = false,
): string {
  const end = `END_${nonce}`;
  const wanted = names.map((name) => scripts[name]);
  const bodies = wanted.map(({ name, body }) => `script ${name} <<'${end}'\n${body}${end}\n`);
  const home = base.startsWith('~/') ? `"$HOME"/${base.slice(2)}` : base;
  const head = `BASE=${home} NONCE=${nonce} FRESH=${fresh ? 'yes' : ''} NAMES='${wanted.map(({ name }) => name).join(' ')}'\n`;
  return [head, prepare, ...bodies, 'settle\nreply prepared\n'].join('');
}

/** Tells our lines from what rc files print, and from a task's own output; never in argv, so no task can know it. */
export const newNonce = (): string => randomBytes(16).toString('hex');
