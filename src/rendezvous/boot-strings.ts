import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { readSettings } from '../config/settings.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { DomainError } from '../domain/failure.ts';
import type { CheckInIdentity } from '../domain/guest-post.ts';
import { noneIfMissing } from '../host/missing.ts';
import { nameOf, secretOf } from './identity.ts';
import { rendezvousTls } from './tls.ts';

const listening = z.object({ host: z.string(), port: z.int() });
export type Listening = z.output<typeof listening>;

/** Where the surface listens on this host, as its process wrote it; undefined where none ever has. */
export async function readListening(state: StateFolder): Promise<Listening | undefined> {
  const text = await readFile(state.rendezvous, 'utf8').catch(noneIfMissing);
  return text === undefined ? undefined : listening.parse(JSON.parse(text));
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);
/** What a provider's host address leads to: loopback, alone or with all others, which are no addresses to call. */
const throughHost: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '0.0.0.0', '::']);
/** Guests have one of their own. */
const isLoopback = /^(127\.|::1$)/;

/** `id:address[,address…];pin:secret`: all that a guest needs at boot, which splits at its first and last colon. */
export type BootStrings = (who: CheckInIdentity, hostAddress: string | undefined) => Promise<string>;

/**
 * @returns a function that makes a machine's boot string; it throws `DomainError` InvalidRequest where nothing says how
 * guests reach us
 */
export function createBootStrings(state: StateFolder, installationKey: Uint8Array): BootStrings {
  const { pin } = rendezvousTls(installationKey);
  const placesFor = async (hostAddress: string | undefined): Promise<readonly string[]> => {
    const { rendezvous } = await readSettings(state);
    if (rendezvous?.addresses) return rendezvous.addresses;
    const at = await readListening(state);
    const host = at && (throughHost.has(at.host) ? hostAddress : isLoopback.test(at.host) ? undefined : at.host);
    return at && host !== undefined ? [`${bracketed(host)}:${at.port}`] : [];
  };
  return async (who, hostAddress) => {
    const places = await placesFor(hostAddress);
    if (places.length === 0) {
      throw new DomainError('InvalidRequest', `Nothing says where machine ${who.machineId} can call home.`, {
        hint: 'Say `rendezvous: {listen: HOST:PORT, addresses: [HOST:PORT]}` in slipway.yaml, as guests reach it.',
      });
    }
    return `${nameOf(who)}:${places.join(',')};${pin}:${secretOf(installationKey, who)}`;
  };
}
