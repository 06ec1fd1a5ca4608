import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './tier.ts';

/** More than any user database or key file of a small machine; a guest must not fill our memory. */
const mostBytes = 1_048_576;

/** The account in a `passwd` file below this root (passwd(5)). */
export async function accountIn(root: string, user: string): Promise<Account | undefined> {
  const text = await guestFile(join(root, 'etc/passwd'));
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home, shell] = line.split(':');
    if (name !== user || uid === undefined || gid === undefined) continue;
    return {
      name: user,
      uid: Number(uid),
      gid: Number(gid),
      home: home === undefined || home === '' ? '/' : home,
      shell: shell === undefined || shell === '' ? '/bin/sh' : shell,
    };
  }
  return undefined;
}

export async function authorizedKeysIn(home: string): Promise<readonly string[]> {
  return (await guestFile(join(home, '.ssh/authorized_keys'))).split('\n').filter((line) => line.trim() !== '');
}

/** '' when it is not there, no plain file, or too big. A fifo must not hold us, a link not lead to a file of the host. */
async function guestFile(path: string): Promise<string> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
  const handle = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (['ENOENT', 'ELOOP', 'ENOTDIR', 'EACCES', 'ENXIO'].includes(error.code ?? '')) return undefined;
    throw error;
  });
  if (!handle) return '';
  try {
    const { size } = await handle.stat().then((found) => (found.isFile() ? found : { size: Infinity }));
    return size > mostBytes ? '' : await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}
