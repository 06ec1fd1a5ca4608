import type { Command } from 'commander';
import type { Cli } from './context.ts';

export type Options = Readonly<Record<string, unknown>>;

/** What a command does; answers its exit code (0 when it answers nothing). */
export type Work = (cli: Cli, args: readonly unknown[], options: Options) => Promise<number | void>;

export interface ActionOptions {
  /** The exit code of every failure of ours, for commands that exit as a job did. */
  readonly ours?: number;
}

/** Binds work to a command; the program gives it. `exitsAsJob` says for which options `ours` holds; for all when absent. */
export type Action = (
  options: ActionOptions,
  work: Work,
  exitsAsJob?: (options: Options) => boolean,
) => (this: Command, ...args: unknown[]) => Promise<void>;
