import type { FailureType } from './failure.ts';

/** What a failure means to people: in the API's answers, in `slipway help errors` and in docs/reference/errors.md. */
export interface FailureWords {
  /** What happened, without a full stop. */
  readonly title: string;
  readonly acts: 'caller' | 'operator' | 'slipway' | 'nobody';
  /** What who acts does next. */
  readonly next: string;
}

export const failureWords: Readonly<Record<FailureType, FailureWords>> = {
  InvalidRequest: {
    title: 'The request cannot be carried out as it is',
    acts: 'caller',
    next: 'Change what the message names; all mistakes are named at once. Nothing was made.',
  },
  Unauthorized: {
    title: 'The token is missing or wrong',
    acts: 'caller',
    next: 'Send the token of the stack: .slipway/token, or SLIPWAY_TOKEN_FILE.',
  },
  Forbidden: {
    title: 'This caller may not ask that',
    acts: 'caller',
    next: 'Speak to the API from this computer, by its loopback address and without a foreign Origin.',
  },
  NotFound: { title: 'There is no such thing', acts: 'caller', next: 'List what there is: slipway lease list --all.' },
  Gone: { title: 'It is over', acts: 'caller', next: 'Look at how it ended: slipway lease show. Ask for a new one.' },
  IdConflict: {
    title: 'That id is taken',
    acts: 'caller',
    next: 'Use another id, or the very body of the first request (of the same owner) to get the same lease.',
  },
  ProviderAuthRefused: {
    title: 'The provider refuses our credentials',
    acts: 'operator',
    next: 'Mend the credentials: slipway provider check. A lease goes on with its next variant.',
  },
  ProviderLacking: {
    title: 'The provider lacks something that it needs here',
    acts: 'operator',
    next: 'Install what the message names: slipway provider check. A lease goes on with its next variant.',
  },
  QuotaExceeded: {
    title: 'The quota is used up',
    acts: 'operator',
    next: 'Raise the quota or end leases. A lease goes on with its next variant.',
  },
  CapacityUnavailable: {
    title: 'No capacity now',
    acts: 'slipway',
    next: 'It is tried again within the limit of the phase, then on the next variant.',
  },
  RateLimited: {
    title: 'Too many requests',
    acts: 'slipway',
    next: 'It is tried again when the provider said; a caller of the API waits for Retry-After.',
  },
  ProviderUnavailable: {
    title: 'Something behind the API does not answer',
    acts: 'slipway',
    next: 'It is tried again within the limit of the phase. slipway provider check says more.',
  },
  GuestUnreachable: {
    title: 'The guest does not answer',
    acts: 'slipway',
    next: 'It is tried again; after minutes of silence the machine counts as lost.',
  },
  GuestNeverReady: {
    title: 'The machine never got ready',
    acts: 'slipway',
    next: 'The lease takes a new machine, as often as attempts says. slipway lease show ID --why.',
  },
  SshAuthRefused: {
    title: 'The guest refuses our login',
    acts: 'slipway',
    next: 'The lease takes a new machine. Does the image take the injected key?',
  },
  GuestLost: {
    title: 'The machine is lost',
    acts: 'slipway',
    next: 'Before ready the lease takes a new machine; later its tasks end as lost, for a job never runs twice.',
  },
  CustomizeFailed: {
    title: 'A step of the bundle failed',
    acts: 'slipway',
    next: 'The lease takes a new machine; when all attempts end alike, mend the step: slipway lease show ID --why.',
  },
  NotifyRefused: {
    title: 'The receiver of a notification does not want it, or may not be called',
    acts: 'caller',
    next: 'The lease goes on all the same. Look at how the call was answered: slipway lease show ID.',
  },
  NotifyUnanswered: {
    title: 'The receiver of a notification does not answer',
    acts: 'slipway',
    next: 'The lease goes on all the same. It is called again for a day: slipway lease show ID.',
  },
  HostKeyMismatch: {
    title: 'The guest is not the one that we made',
    acts: 'nobody',
    next: 'A security event: somebody else answered at the address. No other machine is taken.',
  },
  Internal: {
    title: 'A bug of ours',
    acts: 'slipway',
    next: 'It is tried a few times. Report it with the request id, and log/ of the state folder.',
  },
};
