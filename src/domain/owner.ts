import type { Reason } from './failure.ts';

/** Who leases belong to: the names of `tokens:` in `slipway.yaml`. */
export const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Of a lease that was started without the API's word on it. */
export const unknownOwner = 'unknown';

/** Whether a lease is none of the asker's: what is known of it must not be told. Nobody is hurt where no owner is known. */
export const isForeign = (owner: string, asking: string | undefined): boolean =>
  asking !== undefined && owner !== unknownOwner && asking !== owner;

/** The same words whatever the other lease is, or was. */
export const takenId = (leaseId: string): Reason => ({
  type: 'IdConflict',
  message: `The lease id ${leaseId} is taken. Try: another id.`,
});
