/** A machine that stands somewhere, as its operator wrote it down. */
export interface InventoryMachine {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Who logs in, we and its leases. */
  readonly user: string;
  /** OpenSSH public key, `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  /** Absolute path of the OpenSSH private key that lets us in. */
  readonly identityFile: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Inventory {
  /** Absolute path of its file. */
  readonly file: string;
  readonly machines: readonly InventoryMachine[];
  /** Argv, run on a machine that is given back, after the bundle's commands. */
  readonly resetCommands: readonly (readonly string[])[];
  /** Argv, run on our host about a machine whose reset failed: it makes that anew. */
  readonly reload?: readonly string[];
  /** Argv, run on our host: they switch one machine. Without `reset` it is off and on. `status` says how it stands. */
  readonly power?: {
    readonly on: readonly string[];
    readonly off: readonly string[];
    readonly reset?: readonly string[];
    readonly status?: readonly string[];
  };
  /** In the environment of these commands: by variable, the name of one of the operator's secrets. */
  readonly secretEnv?: Readonly<Record<string, string>>;
}

/** The inventory as it stands now. */
export interface InventorySource {
  /** The last good version. @throws DomainError InvalidRequest while there was none */
  current(): Inventory;
  /** The last good version, if there was one. */
  good(): Inventory | undefined;
  /** `lab.yaml:3:5 machines.rack1.port: …` of the file as it is, whatever is in force. */
  mistakes(): readonly string[];
}

/** Pure: whether a machine has all labels that a variant asks for. */
export const fits = ({ labels }: InventoryMachine, wanted: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);

export const standingStates = ['free', 'taken', 'returning', 'out'] as const;

/** A machine of an inventory, whoever has it. */
export interface StandingMachine {
  readonly name: string;
  /** `taken`: a lease has it or it is on its way to one; `returning`: it is being made clean; `out`: nobody gets it. */
  readonly state: (typeof standingStates)[number];
  /** ISO 8601; absent for one that was never used. */
  readonly since?: string;
  /** Whose it is, or was when it was taken out. */
  readonly machineId?: string;
  /** Why it was taken out, or why it is not given back yet. */
  readonly why?: string;
}
