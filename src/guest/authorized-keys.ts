import { DomainError } from '../domain/failure.ts';
import type { GuestShell } from './shell.ts';

/** See `Guest.authorizeKeys` and `Guest.withdrawKeys`. */
export async function changeKeys(
  shell: GuestShell,
  verb: 'authorize' | 'withdraw',
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const lines = keys.map((key) => key.trim());
  for (const line of lines) {
    // No options in front: a key that a caller brings is a key to log in with, and nothing else.
    if (!/^(ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/]+={0,2}( [^\n\r\0]*)?$/.test(line)) {
      throw new DomainError('InvalidRequest', `Not an OpenSSH public key: ${line.slice(0, 40)}`, {
        hint: 'Expected the line of a .pub file, such as ssh-ed25519 AAAA… comment.',
      });
    }
  }
  if (lines.length === 0) return;
  const answer = await shell.say('file', [verb], () => [Buffer.from(`${lines.join('\n')}\n`)], signal);
  const line = answer.at(-1) ?? [];
  if (line[0] !== 'ok') {
    throw new DomainError(
      'CustomizeFailed',
      `Authorized keys cannot be changed on ${shell.link.address.name}: ${line.slice(2).join(' ')}`,
    );
  }
}
