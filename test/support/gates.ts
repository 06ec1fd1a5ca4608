/** Where work waits, by name, until a test has seen it there. */
export interface Gates<Name> {
  /** Whoever passes from now on waits. */
  readonly hold: (name: Name) => void;
  readonly letGo: (name: Name) => void;
  /** Resolves when somebody waits. */
  readonly isHeld: (name: Name) => Promise<void>;
  readonly pass: (name: Name) => Promise<void>;
}

export function createGates<Name extends string>(): Gates<Name> {
  const closed = new Set<Name>();
  const waiting = new Map<Name, Set<() => void>>();
  const watching = new Map<Name, Set<() => void>>();
  const of = (map: Map<Name, Set<() => void>>, name: Name): Set<() => void> => {
    const set = map.get(name) ?? new Set();
    map.set(name, set);
    return set;
  };
  const release = (map: Map<Name, Set<() => void>>, name: Name): void => {
    const all = [...of(map, name)];
    map.delete(name);
    for (const go of all) go();
  };
  return {
    hold: (name) => void closed.add(name),
    letGo: (name) => {
      closed.delete(name);
      release(waiting, name);
    },
    isHeld: (name) =>
      new Promise((resolve) => {
        if (of(waiting, name).size > 0) resolve();
        else of(watching, name).add(resolve);
      }),
    pass: (name) =>
      new Promise((resolve) => {
        if (!closed.has(name)) return resolve();
        of(waiting, name).add(resolve);
        release(watching, name);
      }),
  };
}
