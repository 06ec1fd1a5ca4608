/** A call that was given up, by its caller or by its time: what an aborted `AbortSignal` throws. */
export const isGivenUp = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
