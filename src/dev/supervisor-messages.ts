import type { DomainError, FailureType } from '../domain/failure.ts';
import type { StackProgress } from './progress.ts';

/** What a detached supervisor tells the process that started it, over Node's channel, until it is ready. */
export type SupervisorMessage =
  | { readonly kind: 'progress'; readonly progress: StackProgress }
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'failed';
      readonly type: FailureType;
      readonly message: string;
      readonly hint?: string;
      readonly details?: NonNullable<DomainError['details']>;
    };

/** The arguments of the detached supervisor: no secrets, everybody can read them. */
export interface SupervisorArguments {
  readonly state: string;
  readonly mode: 'background' | 'one-shot';
  readonly idleMs: number;
  readonly worker: string;
  readonly api: string;
  readonly temporal?: { readonly profile: string };
}
