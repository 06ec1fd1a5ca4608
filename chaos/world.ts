import type { Beacon } from '../test/support/beacon.ts';
import type { SshProxy } from '../test/support/ssh-proxy.ts';
import type { Followed, TestStack } from '../test/support/stack.ts';
import type { Expectation } from './judge.ts';

/** What a run works on. */
export interface World {
  readonly stack: TestStack;
  readonly proxy: SshProxy;
  readonly beacon: Beacon;
  /** Machines have a boot and a disk of their own. */
  readonly ownBoot: boolean;
  /** All tasks that the run asked for. */
  readonly expected: Expectation[];
  /** What a caller who looked on got of a task, by its name. */
  readonly followed: Map<string, Followed>;
  /** What went wrong, a sentence each. */
  readonly problems: string[];
}
