import { readFileSync } from 'node:fs';
import { DomainError } from '../domain/failure.ts';
import type { Guest } from './guest.ts';
import { newNonce } from './scripts.ts';
import type { GuestShell } from './shell.ts';

const script = readFileSync(new URL('./host-key.sh', import.meta.url), 'utf8');
const keyType = 'ssh-ed25519';

/** `makeHostKey` and `switchHostKey` on one guest; they leave no script there. */
export function guestHostKey(shell: GuestShell): Pick<Guest, 'makeHostKey' | 'switchHostKey'> {
  const { name, user } = shell.link.address;
  const say = async (
    verb: 'make' | 'switch',
    before: string,
    next: string,
    signal: AbortSignal,
  ): Promise<readonly [said: string, text: string]> => {
    const nonce = newNonce();
    const head = `NONCE=${nonce} VERB=${verb} OLD=${wordOf(before)} NEW=${wordOf(next)}\n`;
    const line = user === 'root' ? 'sh' : 'sudo -n sh';
    const lines = await shell.once(line, nonce, `${head}${script}main\n`, signal);
    const [said, ...words] = lines.at(-1) ?? [];
    if (said === undefined) return ['kept', `${user} is not root there, and has no sudo without a password`];
    const text = words.join(' ');
    if (said === 'failed')
      throw new DomainError('CustomizeFailed', `Machine ${name} could not change its host key: ${text}`, {
        hint: 'Look at its /etc/ssh.',
      });
    return [said, text];
  };
  return {
    async makeHostKey(signal) {
      const [said, text] = await say('make', shell.link.address.hostKey, '', signal);
      return said === 'made' ? { next: `${keyType} ${text}` } : { kept: text };
    },
    async switchHostKey({ before, next }, signal) {
      const [said, text] = await say('switch', before, next, signal);
      return said === 'switched' ? undefined : text;
    },
  };
}

/** The base64 of a public key, in quotes: nothing in it is a word of the shell's. */
function wordOf(publicKey: string): string {
  const [, blob = ''] = publicKey.trim().split(/\s+/);
  if (!/^[A-Za-z0-9+/=]*$/.test(blob))
    throw new DomainError('InvalidRequest', `Not an OpenSSH public key: ${publicKey}`);
  return `'${blob}'`;
}
