/** Which machine calls home: it says so itself, and proves it. */
export interface CheckInIdentity {
  readonly machineId: string;
  readonly birth: string;
  readonly generation: number;
}

/** One post of a guest, proven to be of this machine and generation. */
export interface GuestPost {
  readonly key: string;
  readonly generation: number;
  /** The address that it came from. */
  readonly source: string;
  readonly facts?: Readonly<Record<string, string>>;
  /** Its public SSH host keys. */
  readonly hostKeys?: readonly string[];
  /** How its own last stage ended: 0, or an exit code, with its own words. */
  readonly result?: number;
  readonly message?: string;
}

/** What a guest has told of itself in its present generation. */
export interface CheckIn {
  readonly atMs: number;
  readonly posts: number;
  /** Where the first post came from, and where the last one did, if that is another. */
  readonly source: string;
  readonly movedTo?: string;
  readonly facts: Readonly<Record<string, string>>;
  readonly hostKeys: readonly string[];
  readonly result?: number;
  readonly message?: string;
}

/** As it is shown. */
export type CheckInStatus = Omit<CheckIn, 'atMs'> & { readonly at: string };
