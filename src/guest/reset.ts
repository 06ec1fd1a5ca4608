import { DomainError } from '../domain/failure.ts';
import type { Guest } from './guest.ts';
import { refused, type GuestShell, type Lines } from './shell.ts';

/** `baseline` and `reset` on one guest; the script goes there anew each time, since it may be a tenant's by now. */
export function guestReset(shell: GuestShell): Pick<Guest, 'baseline' | 'reset'> {
  const machine = shell.link.address.name;
  const say = async (
    verb: string,
    digest: string,
    leaveAlone: readonly string[],
    signal: AbortSignal,
  ): Promise<Lines> => {
    await shell.renew('reset', signal);
    const text = [digest, ...leaveAlone].map((line) => `${line}\n`).join('');
    const lines = await shell.say('reset', [verb], () => [Buffer.from(text)], signal);
    const [first = []] = lines;
    if (first[0] === 'refused') throw refused(machine, first, `takes no ${verb}`);
    return lines;
  };
  return {
    async baseline(leaveAlone, signal) {
      const [, digest = ''] = (await say('baseline', '-', leaveAlone, signal)).at(-1) ?? [];
      if (!/^[0-9a-f]{64}$/.test(digest))
        throw new DomainError('GuestUnreachable', `Machine ${machine} did not say what its baseline is`);
      return digest;
    },
    async reset(baseline, leaveAlone, signal) {
      const lines = await say('reset', baseline, leaveAlone, signal);
      const [end, count] = lines.at(-1) ?? [];
      // Without its last word nobody knows what is left.
      if (end !== 'end')
        throw new DomainError('GuestUnreachable', `The connection to ${machine} dropped while it was reset`);
      const left = lines.slice(0, -1).map(([, ...words]) => words.join(' '));
      return left.length === 0 && count !== '0' ? [`${count} things`] : left;
    },
  };
}
