/** So many at once for each name; the others in the order in which they came. */
export function createTurns(most: number) {
  const lines = new Map<string, { running: number; readonly waiting: Set<() => void> }>();

  const enter = async (name: string, signal: AbortSignal): Promise<void> => {
    const line = lines.get(name) ?? { running: 0, waiting: new Set() };
    lines.set(name, line);
    if (line.running < most) {
      line.running += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        line.waiting.delete(turn);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', leave, { once: true });
      line.waiting.add(turn);
    });
  };
  const leave = (name: string): void => {
    const line = lines.get(name);
    if (!line) return;
    // Who is next takes this place over.
    for (const next of line.waiting) {
      line.waiting.delete(next);
      return next();
    }
    line.running -= 1;
    if (line.running === 0) lines.delete(name);
  };

  return {
    /** Whether who comes now would have to wait. */
    isBusy: (name: string): boolean => (lines.get(name)?.running ?? 0) >= most,
    async take<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
      await enter(name, signal);
      try {
        return await work();
      } finally {
        leave(name);
      }
    },
  };
}
