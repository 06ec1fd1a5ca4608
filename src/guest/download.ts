/** What a server does not send within this, before its answer or between two bytes, is not waited for any longer. */
export const downloadIdleMs = 30_000;

export interface Patience {
  readonly idleMs?: number;
  /** What is thrown when nothing came for so long. */
  readonly stalled: (idleMs: number) => Error;
}

export interface Download {
  readonly response: Response;
  /** To be read once. What its reader takes for a chunk counts for nothing: only the server is timed. */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * `fetch` with an end to waiting: Node's own gives a silent server five minutes, which is more than a phase may have.
 * @throws as `fetch`, the signal's reason, and `stalled`; the body too
 */
export async function download(
  url: string,
  init: Pick<RequestInit, 'headers' | 'redirect'>,
  { idleMs = downloadIdleMs, stalled }: Patience,
  signal: AbortSignal,
): Promise<Download> {
  const late = new AbortController();
  const within = async <T>(next: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => late.abort(stalled(idleMs)), idleMs);
    try {
      return await next;
    } finally {
      clearTimeout(timer);
    }
  };
  const response = await within(fetch(url, { ...init, signal: AbortSignal.any([signal, late.signal]) }));
  async function* body(): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const next = await (reader && within(reader.read()));
        if (!next || next.done) return;
        yield next.value;
      }
    } finally {
      await reader?.cancel().catch(() => undefined); // one that broke has said so
    }
  }
  return { response, body: body() };
}
