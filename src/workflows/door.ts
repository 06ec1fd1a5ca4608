import {
  ApplicationFailure,
  setDefaultSignalHandler,
  setDefaultUpdateHandler,
  setDefaultQueryHandler,
} from '@temporalio/workflow';
import type { z } from 'zod';
import { isUnreadable } from './payload-converter.ts';

/** Every mistake of a body, with its place, in one line each. */
export function mistakesOf(schema: z.ZodType, value: unknown): readonly string[] {
  if (isUnreadable(value)) return [`the payload cannot be read: ${value['slipway:unreadable']}; send one JSON object`];
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  return parsed.error.issues.map((issue) =>
    issue.path.length > 0 ? `${issue.path.map(String).join('.')}: ${issue.message}` : issue.message,
  );
}

/** @throws ApplicationFailure InvalidRequest that names every mistake at once */
export function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const mistakes = mistakesOf(schema, value);
  if (mistakes.length > 0) throw invalid(`${what}: ${mistakes.join('; ')}`, mistakes);
  return schema.parse(value);
}

export const invalid = (message: string, mistakes: readonly string[] = []): ApplicationFailure =>
  ApplicationFailure.create({ type: 'InvalidRequest', message, nonRetryable: true, details: [{ mistakes }] });

/** A body may be left out where all of it is optional. */
export const orEmpty = (body: unknown): unknown => body ?? {};

export type Hear = (body?: unknown) => void;

/**
 * What has come before a run's handlers is handed over as they are set: all that waits of the first name, then of the
 * second. By this handler for every name it comes in the order in which it was sent; set it before any other.
 */
export function hearInOrder(heard: ReadonlyMap<string, Hear>, known: string, note: (text: string) => void): void {
  setDefaultSignalHandler((name: string, body?: unknown) => {
    const hear = heard.get(name);
    if (hear) hear(body);
    else note(unknownSignal(name, known));
  });
}

const unknownSignal = (name: string, known: string): string => `unknown signal ${name}; known: ${known}`;

/** Unknown names arrive too: refused here, or they would wait in the workflow (signals) or retry its task for ever. */
export function refuseTheRest(known: string, note: (text: string) => void): void {
  setDefaultSignalHandler((name: string) => {
    note(unknownSignal(name, known));
  });
  setDefaultUpdateHandler((name: string) => {
    throw invalid(`Unknown update ${name}; known: ${known}`);
  });
  setDefaultQueryHandler((name: string) => {
    throw invalid(`Unknown query ${name}; known: status`);
  });
}
