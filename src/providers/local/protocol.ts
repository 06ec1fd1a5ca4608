import { DomainError, isFailureType, type FailureType } from '../../domain/failure.ts';
import type { PowerAction } from '../../domain/power.ts';
import type { Build } from '../../host/build.ts';
import type {
  CreateSpec,
  Identity,
  InventoryItem,
  MachineView,
  OwnerTags,
  ProviderCheck,
  ProviderRef,
} from '../provider.ts';

/** Goes up when a message changes. `hello` and `leave` stay as they are in every version: a new client says them to an old process. */
export const protocolVersion = 3;

/** What the provider's process is asked, and what it answers, as one JSON value a line. */
export interface Calls {
  readonly hello: { readonly input: { readonly protocol: number }; readonly output: Hello };
  /** The process closes its listeners and ends; machines live on. */
  readonly leave: { readonly input: Record<string, never>; readonly output: null };
  readonly create: {
    readonly input: { readonly key: string; readonly spec: CreateSpec; readonly tags: OwnerTags };
    readonly output: ProviderRef;
  };
  readonly findByKey: {
    readonly input: { readonly key: string; readonly installation: string };
    readonly output: ProviderRef | null;
  };
  readonly get: { readonly input: { readonly ref: ProviderRef }; readonly output: MachineView };
  readonly list: { readonly input: { readonly installation: string }; readonly output: readonly InventoryItem[] };
  readonly destroy: { readonly input: { readonly ref: ProviderRef }; readonly output: null };
  readonly reload: {
    readonly input: { readonly ref: ProviderRef; readonly spec: CreateSpec; readonly generation: number };
    readonly output: null;
  };
  readonly rekey: {
    readonly input: { readonly ref: ProviderRef; readonly identity: Identity; readonly generation: number };
    readonly output: null;
  };
  readonly power: {
    readonly input: { readonly ref: ProviderRef; readonly action: PowerAction };
    readonly output: null;
  };
  readonly console: {
    readonly input: { readonly ref: ProviderRef; readonly maxBytes: number };
    readonly output: string;
  };
  readonly check: { readonly input: Record<string, never>; readonly output: ProviderCheck };
}
export type CallName = keyof Calls;

export interface Hello {
  readonly protocol: number;
  /** Absent in processes from before builds were told apart. */
  readonly build?: Build;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
}

export type CallLine = {
  readonly [Name in CallName]: { readonly id: number; readonly call: Name; readonly input: Calls[Name]['input'] };
}[CallName];

/** To the process: a call, or that nobody waits for one any more. */
export type RequestLine = CallLine | { readonly cancel: number };

export interface WireFailure {
  readonly type: FailureType;
  readonly message: string;
  readonly hint?: string;
  readonly retryAfterMs?: number;
}
export type AnswerLine =
  { readonly id: number; readonly output: unknown } | { readonly id: number; readonly failure: WireFailure };

/** What `run/local.json` says of the process. */
export interface PidFile {
  readonly pid: number;
  readonly start: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly protocol: number;
  readonly socket: string;
  /** It is a service that somebody keeps up (`slipway serve local`): no client starts another in its place. */
  readonly served?: true;
}

export function toWire(error: unknown): WireFailure {
  if (!(error instanceof DomainError)) {
    return { type: 'Internal', message: error instanceof Error ? error.message : String(error) };
  }
  const { type, message, hint, retryAfterMs } = error;
  return {
    type,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

export function fromWire({ type, message, hint, retryAfterMs }: WireFailure): DomainError {
  return new DomainError(isFailureType(type) ? type : 'Internal', message, {
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
