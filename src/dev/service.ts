import { closeSync, fstatSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../domain/failure.ts';
import { isGivenUp } from '../domain/given-up.ts';
import type { BoundProcess } from './bound-process.ts';
import { lastLines, openLog, sentenceOf } from './log-file.ts';
import type { OnProgress } from './progress.ts';
import { afterEnd, noLives, type Lives } from './restart-policy.ts';

export interface ServiceSpec {
  readonly name: 'temporal' | 'worker' | 'api';
  readonly log: string;
  readonly launch: (log: number) => Promise<BoundProcess>;
  /** Resolves when it answers, rejects when it never will; obeys the signal. */
  readonly awaitReady: (signal: AbortSignal) => Promise<void>;
  readonly readyWithinMs: number;
  /** How long SIGTERM may take before SIGKILL. */
  readonly stopWithinMs: number;
  readonly onProgress: OnProgress;
}

/** One process of the stack, kept alive: started again when it ends by itself, with back-off, and given up when it never starts. */
export class Service {
  readonly #spec: ServiceSpec;
  readonly #stopping = new AbortController();
  readonly #ready: Promise<void>;
  readonly #gone: Promise<DomainError | undefined>;
  #firstReady: () => void = () => undefined;
  #process: BoundProcess | undefined;

  constructor(spec: ServiceSpec) {
    this.#spec = spec;
    const isReady = new Promise<void>((resolve) => {
      this.#firstReady = resolve;
    });
    this.#gone = this.#keep().catch((error: unknown) =>
      error instanceof DomainError
        ? error
        : new DomainError('Internal', `The ${spec.name} could not be kept: ${String(error)}`, { cause: error }),
    );
    const notReady = this.#gone.then((failure) => {
      throw failure ?? new DomainError('Internal', `The ${spec.name} was stopped before it was ready.`);
    });
    this.#ready = Promise.race([isReady, notReady]);
    // Whoever waits for it sees the refusal; nobody has to.
    this.#ready.catch(() => undefined);
  }

  /** The first time that it answers. Rejects with the last lines of its log when it never does. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Ends with a failure when it was given up, with nothing when it was stopped. */
  get gone(): Promise<DomainError | undefined> {
    return this.#gone;
  }

  get pid(): number | undefined {
    return this.#process?.end() === undefined ? this.#process?.pid : undefined;
  }

  /** SIGTERM, then SIGKILL when the time is over. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const process = this.#process;
    if (process !== undefined && process.end() === undefined) {
      process.kill('SIGTERM');
      const timer = setTimeout(() => process.kill('SIGKILL'), this.#spec.stopWithinMs);
      await process.ended;
      clearTimeout(timer);
    }
    await this.#gone;
  }

  /** SIGKILL at once; `stop` still waits for the end. */
  hurry(): void {
    this.#stopping.abort();
    this.#process?.kill('SIGKILL');
  }

  async #keep(): Promise<DomainError | undefined> {
    const { name, onProgress } = this.#spec;
    let lives: Lives = noLives;
    for (;;) {
      const life = await this.#live();
      if (this.#stopping.signal.aborted) return undefined;
      const next = afterEnd(lives, life.readyForMs);
      if (next.act === 'give-up') return this.#givenUp(next.failedStarts, life.text);
      lives = next.lives;
      const seconds = (next.delayMs / 1000).toFixed(1);
      const why = life.said === undefined ? '' : `: ${life.said}`;
      const text = `The ${name} ${life.text}${why}; starting it again in ${seconds} s.`;
      onProgress({ step: name, text, warning: true });
      await pause(next.delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return undefined;
    }
  }

  /** One process from its start to its end. */
  async #live(): Promise<{ readyForMs: number | undefined; text: string; said?: string }> {
    const { name, launch, awaitReady, readyWithinMs, onProgress } = this.#spec;
    const log = openLog(this.#spec.log);
    const { size: saidBefore } = fstatSync(log);
    let process: BoundProcess;
    try {
      process = await launch(log);
    } catch (error) {
      return { readyForMs: undefined, text: `could not be started: ${(error as Error).message}` };
    } finally {
      closeSync(log);
    }
    this.#process = process;
    // Stopped while it was being started: nobody else has seen this process yet.
    if (this.#stopping.signal.aborted) process.kill('SIGKILL');
    const ended = new AbortController();
    void process.ended.then(() => ended.abort());
    const began = performance.now();
    try {
      await awaitReady(AbortSignal.any([ended.signal, AbortSignal.timeout(readyWithinMs)]));
      onProgress({ step: name, text: `${name} ready`, elapsedMs: performance.now() - began });
      this.#firstReady();
    } catch (error) {
      if (process.end() === undefined) {
        process.kill('SIGKILL');
        await process.ended;
        const within = `was not ready within ${readyWithinMs / 1000} s`;
        return { readyForMs: undefined, text: isGivenUp(error) ? within : `failed: ${(error as Error).message}` };
      }
      const text = `ended before it was ready (${describe(await process.ended)})`;
      const last = lastLines(this.#spec.log, 1, saidBefore).at(-1);
      return { readyForMs: undefined, text, ...(last === undefined ? {} : { said: sentenceOf(last) }) };
    }
    const readyAt = performance.now();
    const end = await process.ended;
    return { readyForMs: performance.now() - readyAt, text: `ended (${describe(end)})` };
  }

  #givenUp(times: number, text: string): DomainError {
    const { name, log } = this.#spec;
    // Each start says the same.
    const lines = [...new Set(lastLines(log, 10).map(sentenceOf))].map((line) => `\n    ${line}`);
    return new DomainError(
      'Internal',
      `The ${name} ${text}, ${times} times in a row. Its last lines:${lines.join('') || ' none'}`,
      {
        hint: `See ${log}.`,
      },
    );
  }
}

const describe = (end: number | NodeJS.Signals) => (typeof end === 'number' ? `exit ${end}` : `signal ${end}`);
