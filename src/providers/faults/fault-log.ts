import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { canonical } from '../../domain/same.ts';
import type { ProviderRef } from '../provider.ts';
import type { FaultName, FaultVerb } from './fault-file.ts';

/** One line of `faults.log`: a fault that struck. What it does to later calls is read from here, by every process. */
export interface FaultLine {
  /** ISO 8601. */
  readonly at: string;
  readonly provider: string;
  readonly verb: FaultVerb;
  readonly fault: FaultName;
  readonly key?: string;
  readonly ref?: ProviderRef;
  /** Until when it is in force, ms since the epoch: the machine is hidden, or stuck, or its effect may still come. */
  readonly untilMs?: number;
  /** Under which key the provider made it, where the machine's own is kept from it. */
  readonly madeAs?: string;
}

export interface FaultLog {
  strike(line: Omit<FaultLine, 'at' | 'provider'>): void;
  /** Whether `get` and `findByKey` are to say that it is not there. */
  isHidden(machine: string | ProviderRef): boolean;
  /** Until when a destroy that struck keeps it `destroying`; `Infinity` for as long as the rule stands. */
  stuckUntilMs(ref: ProviderRef): number;
  /** Keys under which machines of this key were made, oldest first. */
  madeAs(key: string): readonly string[];
  /** How long effects of what struck may still be invisible, or still come. */
  settlingMs(): number;
}

/** @param provider whose lines count here; the file is everyone's */
export function openFaultLog(path: string, provider: string): FaultLog {
  let readTo = 0;
  const hidden = new Map<string, number>();
  const stuck = new Map<string, number>();
  const made = new Map<string, string[]>();
  let settlesAtMs = 0;

  const take = (line: FaultLine): void => {
    if (line.provider !== provider) return;
    const { fault, key, ref, madeAs } = line;
    const untilMs = line.untilMs ?? Infinity;
    if (fault === 'notVisibleYet' && line.verb === 'create') {
      if (key !== undefined) hidden.set(key, untilMs);
      if (ref) hidden.set(canonical(ref), untilMs);
    }
    if (fault === 'stuckDestroying' && line.verb === 'destroy' && ref) stuck.set(canonical(ref), untilMs);
    if (madeAs !== undefined && key !== undefined) made.set(key, [...(made.get(key) ?? []), madeAs]);
    if (fault !== 'stuckDestroying' && line.untilMs !== undefined) settlesAtMs = Math.max(settlesAtMs, line.untilMs);
  };
  const readOn = (): void => {
    const lines = wholeLines(path, readTo);
    readTo += lines.length;
    for (const line of lines.toString().split('\n')) if (line !== '') take(JSON.parse(line) as FaultLine);
  };

  return {
    strike(line) {
      const whole: FaultLine = { at: new Date().toISOString(), provider, ...line };
      appendFileSync(path, `${JSON.stringify(whole)}\n`, { mode: 0o600 });
    },
    isHidden(machine) {
      readOn();
      return Date.now() < (hidden.get(typeof machine === 'string' ? machine : canonical(machine)) ?? 0);
    },
    stuckUntilMs(ref) {
      readOn();
      return stuck.get(canonical(ref)) ?? 0;
    },
    madeAs(key) {
      readOn();
      return made.get(key) ?? [];
    },
    settlingMs() {
      readOn();
      return Math.max(0, settlesAtMs - Date.now());
    },
  };
}

function wholeLines(path: string, from: number): Buffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - from));
    const read = readSync(file, bytes, 0, bytes.length, from);
    return bytes.subarray(0, bytes.subarray(0, read).lastIndexOf(10) + 1);
  } finally {
    closeSync(file);
  }
}
