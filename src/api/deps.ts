import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { BundleDetail, BundleReport, BundleView } from '../contract/bundle-views.ts';
import type { ProviderView } from '../contract/http.ts';
import type { Account } from '../domain/quota.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import type { FetchedStore } from '../output/fetched-store.ts';
import type { BlobStore, OutputStore } from '../output/output-store.ts';
import type { Provider, Standing } from '../providers/provider.ts';

/** All that the API stands on; `main.ts` wires it. */
export interface ApiDeps {
  readonly client: Client;
  /** `slipway`, but for tests that share a server. */
  readonly taskQueue: string;
  readonly outputs: Pick<OutputStore, 'stat' | 'read' | 'follow'>;
  readonly blobs: Pick<BlobStore, 'putStream' | 'has' | 'file'>;
  /** What was fetched from guests. */
  readonly fetched: Pick<FetchedStore, 'file'>;
  /** Largest blob that is taken. */
  readonly blobLimitBytes: number;
  readonly bundles: {
    list(): Promise<readonly BundleView[]>;
    /** @throws DomainError InvalidRequest for an unknown one, with near names */
    show(name: string): Promise<BundleDetail>;
    check(): Promise<BundleReport>;
  };
  /**
   * What the bundle says to a request, before a lease is made of it; answers what to tell of the bundle, if anything.
   * @throws DomainError InvalidRequest (unknown bundle, with near names; more than the bundle allows; a missing blob)
   */
  readonly admit: (request: LeaseRequest) => Promise<string | undefined>;
  readonly secrets: {
    seal(leaseId: string, name: string, value: Uint8Array): Promise<void>;
    forget(leaseId: string): Promise<void>;
  };
  /** @throws DomainError NotFound for a name that is not configured */
  readonly checkProviders: (name: string | undefined, signal: AbortSignal) => Promise<readonly ProviderView[]>;
  /** The machines of a provider, where they stand; undefined where they do not, or for a name that is not configured. */
  readonly standing: (provider: string) => Standing | undefined;
  /** To look at its machines; undefined for a name that is not configured. */
  readonly provider: (
    name: string,
  ) => Pick<Provider, 'findByKey' | 'get' | 'capabilities' | 'console' | 'userData' | 'images'> | undefined;
  /** Accounts with a quota or a rate, as the settings say now. */
  readonly accounts: () => Promise<readonly Account[]>;
  /** Names of all that are configured. */
  readonly providers: readonly string[];
  /** Whose bearer token it is; undefined for a stranger's. */
  readonly ownerOf: (token: string) => Promise<string | undefined>;
  /** Port that callers may name in `Host`; that of the socket when absent. */
  readonly port?: number;
  /** Names beside loopback that callers may use in `Host`, whatever the port; none when absent. */
  readonly hosts?: () => Promise<readonly string[]>;
  /** What came of the calls of guests here; absent where none can call. */
  readonly checkIns?: ReadonlyMap<string, number>;
  readonly logger: Logger;
  /** Beats of long answers, so that a silent task's follow is not taken for dead; 10 s when absent. */
  readonly beatMs?: number;
}
