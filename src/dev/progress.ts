/** One line of what the stack is doing, for a person. */
export interface StackProgress {
  readonly step: 'temporal' | 'download' | 'build' | 'worker' | 'api' | 'stack';
  readonly text: string;
  /** 0 to 1, where it is known: a terminal may draw a bar and rewrite the line of the same step. */
  readonly fraction?: number;
  /** Milliseconds since the step began. */
  readonly elapsedMs?: number;
  /** Something went wrong and was mended: worth a mark. */
  readonly warning?: boolean;
}

export type OnProgress = (progress: StackProgress) => void;
