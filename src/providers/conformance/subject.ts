import type { CreateSpec, OwnerTags, Provider, ProviderRef } from '../provider.ts';

/** What the suite needs of a provider under test. */
export interface Subject {
  readonly provider: Provider;
  /** Another client of the same source of machines, as another worker would be. */
  readonly again: () => Provider;
  /** Owner of the machines that the suite makes; nobody else's. */
  readonly installation: string;
  /** A good spec, with this host name. */
  readonly spec: (hostname: string) => CreateSpec;
  /** For one call, and for a state to come. */
  readonly withinMs: number;
  /** Its machines have guests that answer by SSH; not where an API alone is played. */
  readonly guests?: boolean;
  /** Resources that the provider's host shows for its machines, none when all are destroyed: processes, mounts, ports, files. */
  readonly remains?: () => Promise<readonly string[]>;
}

/** One promise of the contract. It throws an `AssertionError` where the provider breaks it. */
export interface ConformanceCase {
  /** A sentence about a state. */
  readonly title: string;
  readonly run: (subject: Subject) => Promise<void>;
}

let made = 0;

/** A machine of the suite: its key, and the calls about it. */
export function newMachineOf(subject: Subject): {
  readonly key: string;
  readonly tags: OwnerTags;
  readonly create: (provider?: Provider) => Promise<ProviderRef>;
} {
  made += 1;
  const name = `conformance-${process.pid}-${made}`;
  const key = `${name}-${subject.installation}`;
  const tags = {
    'slipway-installation': subject.installation,
    'slipway-machine': `${name}.1`,
    'slipway-lease': name,
    'slipway-key': key,
  };
  return {
    key,
    tags,
    create: (provider = subject.provider) => provider.create(key, subject.spec(name), tags, limit(subject)),
  };
}

export const limit = (subject: Subject): AbortSignal => AbortSignal.timeout(subject.withinMs);
