import { DomainError } from '../domain/failure.ts';
import { connect } from './connection.ts';
import type { Guests } from './guest.ts';

/** No key is like it: whatever is served is refused, before anybody logs in. */
const noKey = 'ssh-ed25519 AAAA';

/** See `Guests.servedKey`. */
export const servedKey: Guests['servedKey'] = async (address, signal) => {
  try {
    const connection = await connect({ ...address, hostKey: noKey }, '', 5_000, signal);
    connection.close();
  } catch (error) {
    const served = error instanceof DomainError ? error.details?.['servedKey'] : undefined;
    if (typeof served === 'string') return served;
    throw error;
  }
  throw new DomainError('Internal', `${address.name} was logged in to without a key of its own.`);
};
