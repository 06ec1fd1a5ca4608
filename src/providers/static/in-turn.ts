/** By what it is about, the last of what this process does. */
const underWay = new Map<string, Promise<unknown>>();

/** Calls about one thing, one after the other, whichever client of this process makes them. */
export async function inTurn<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const before = underWay.get(what);
  const mine = (async () => {
    await before?.catch(() => undefined); // its own caller hears of it
    signal.throwIfAborted();
    return work();
  })();
  underWay.set(what, mine);
  try {
    return await mine;
  } finally {
    if (underWay.get(what) === mine) underWay.delete(what);
  }
}
