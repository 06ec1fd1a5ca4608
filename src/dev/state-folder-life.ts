import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createOnce } from '../config/create-once.ts';
import { createInstallation, type Installation } from '../config/installation.ts';
import { stateFolderName, type StateFolder } from '../config/state-folder.ts';
import { DomainError } from '../domain/failure.ts';
import { shownWord } from '../domain/shell-word.ts';
import { partPrefix } from '../host/atomic-file.ts';
import { noneIfMissing } from '../host/missing.ts';

const formatVersion = '1';

/** What a file system has against a folder that somebody chose. */
const refusals = new Set(['EACCES', 'EEXIST', 'ENOSPC', 'ENOTDIR', 'EPERM', 'EROFS']);

/** Work on a state folder. @throws DomainError InvalidRequest when the folder itself cannot be used */
export async function onFolder<T>({ root }: StateFolder, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { code = '', path = '' } = error as NodeJS.ErrnoException;
    // Of the folder, of what lies in it, or of a folder on the way to it.
    if (!refusals.has(code) || path === '' || !(path.startsWith(root) || root.startsWith(path))) throw error;
    throw new DomainError('InvalidRequest', `The state folder ${root} cannot be used: ${error.message}.`, {
      hint: 'Choose a folder of your own with --state, or go to one.',
      cause: error,
    });
  }
}

async function knownFormat(state: StateFolder): Promise<void> {
  const version = (await readFile(state.version, 'utf8')).trim();
  if (version === formatVersion) return;
  const message = `The state folder ${state.root} has format ${version}, and this slipway knows ${formatVersion}.`;
  throw new DomainError('InvalidRequest', message, {
    hint: 'Use the slipway that made it, or another folder with --state.',
  });
}

/** Beside what it is for: git's, and what a disk of its own begins with. */
const alsoThere = ['.gitignore', 'lost+found'];
const shownNames = 3;

/**
 * A folder full of other things is closed to nobody and filled with nothing of ours. One of ours has its version, or, where
 * its making was cut off or a part of it was brought here, nothing but what ours hold.
 * @throws DomainError InvalidRequest, also for one of ours in another format
 */
export async function refuseForeign(state: StateFolder): Promise<void> {
  const names = (await readdir(state.root).catch(noneIfMissing)) ?? [];
  if (names.includes(basename(state.version))) return knownFormat(state);
  const inside = Object.values<string>({ ...state }).filter((path) => dirname(path) === state.root);
  const ours = [...inside.map((path) => basename(path)), ...alsoThere];
  const isOurs = (name: string): boolean =>
    name.startsWith(partPrefix) ||
    ours.some((own) => name === own || name.startsWith(`${own}.`) || name.startsWith(`${own}-`));
  const others = names.filter((name) => !isOurs(name)).toSorted();
  if (others.length === 0) return;
  const more = others.length > shownNames ? ` and ${others.length - shownNames} more` : '';
  throw new DomainError(
    'InvalidRequest',
    `The folder ${state.root} is no state folder: it holds ${others.slice(0, shownNames).join(', ')}${more}.`,
    { hint: `Use an empty folder or a new one, such as --state ${shownWord(join(state.root, stateFolderName))}.` },
  );
}

/**
 * Makes the state folder, or checks the one that is there: 0700, with its token and installation key (0600). What a folder
 * holds already is never replaced.
 * @throws DomainError InvalidRequest when the folder is of another format, or holds other things
 */
export async function prepareStateFolder(state: StateFolder): Promise<Installation> {
  await refuseForeign(state);
  await mkdir(state.root, { recursive: true, mode: 0o700 });
  await createOnce(state.version, () => `${formatVersion}\n`);
  await knownFormat(state);
  // mkdir leaves the mode of a folder that was there, and obeys the umask.
  await chmod(state.root, 0o700);
  // It holds keys: never to be committed with the project that it lies in.
  await createOnce(join(state.root, '.gitignore'), () => '*\n');
  for (const folder of [state.run, state.log, state.blobs, state.output, state.sealed, state.local]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  await createOnce(state.token, () => `${randomBytes(32).toString('base64url')}\n`);
  const installation = await createInstallation(state);
  for (const secret of [state.token, state.installationKey]) await chmod(secret, 0o600);
  return installation;
}
