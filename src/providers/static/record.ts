import type { CreateSpec, OwnerTags } from '../provider.ts';
import type { InventoryMachine } from '../../domain/inventory.ts';

/** Whose a machine is: all that its end needs, whatever becomes of the inventory meanwhile. No secrets. */
export interface Claim {
  readonly key: string;
  readonly tags: OwnerTags;
  /** ISO 8601. */
  readonly createdAt: string;
  /** As the inventory had it when it was claimed. */
  readonly machine: InventoryMachine;
  /** What lets the lease in. */
  readonly authorizedKeys: readonly string[];
  readonly reset: NonNullable<CreateSpec['reset']>;
  /** Of what the guest remembers; absent until the machine is the lease's: nobody was on it before. */
  readonly baseline?: string;
  /** Of the system that it was then. */
  readonly bootId?: string;
}

/** What is known of a machine. One that has no record was never used. */
export type MachineRecord =
  | { readonly state: 'free'; readonly since: string }
  | { readonly state: 'claimed' | 'held'; readonly since: string; readonly claim: Claim }
  /** `why`: what keeps it from being given back. */
  | {
      readonly state: 'returning';
      readonly since: string;
      readonly claim: Claim;
      readonly why?: string;
      /** When it was switched on, because it did not answer. */
      readonly switchedOn?: string;
      /** Its reset failed, and since when it is to be made anew. `at`: when the command for that had run. */
      readonly reload?: { readonly since: string; readonly at?: string };
    }
  | { readonly state: 'out'; readonly since: string; readonly why: string; readonly claim: Claim };

/** The claim that a machine is under now. */
export const claimOf = (record: MachineRecord | undefined): Claim | undefined =>
  record && record.state !== 'free' && record.state !== 'out' ? record.claim : undefined;
