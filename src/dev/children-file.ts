import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { replaceFile } from '../host/atomic-file.ts';
import { isAlive, processStart, type ProcessIdentity } from '../host/process-identity.ts';

/**
 * The processes of a stack, so that the next one finds what a killed supervisor left. The kernel ends them with it, yet
 * that takes a moment, and two servers must never have one database file open.
 */
export class ChildrenFile {
  readonly #path: string;
  readonly #known = new Map<string, ProcessIdentity>();
  #written: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  note(name: string, pid: number): Promise<void> {
    const start = processStart(pid);
    if (start === undefined) this.#known.delete(name);
    else this.#known.set(name, { pid, start });
    const text = `${JSON.stringify(Object.fromEntries(this.#known))}\n`;
    this.#written = this.#written.then(() => replaceFile(this.#path, text));
    return this.#written;
  }
}

const politeMs = 1_000;

/** Waits until the processes of the last stack are gone, and kills what is not gone after a second. */
export async function endLeftovers(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  const known = Object.entries(JSON.parse(text) as Record<string, ProcessIdentity>);
  const killed: string[] = [];
  const since = performance.now();
  for (const [name, identity] of known) {
    while (isAlive(identity)) {
      if (performance.now() - since > politeMs && !killed.includes(name)) {
        killed.push(name);
        process.kill(identity.pid, 'SIGKILL');
      }
      await pause(10);
    }
  }
  return killed;
}
