import type { Readable, Writable } from 'node:stream';

export type TextOut = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** All that a command touches of its process, so that a test can stand in for it. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: TextOut;
  readonly stderr: TextOut;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /**
   * Ctrl-C (`asked`), or being told to end (`told`); answers how to stop listening. Without a listener the process ends.
   */
  onInterrupt(listener: (how: 'asked' | 'told') => void): () => void;
}
