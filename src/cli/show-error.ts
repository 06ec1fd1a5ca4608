import type { Issue } from '../contract/http.ts';
import { issuesOf } from '../contract/issues.ts';
import { DomainError } from '../domain/failure.ts';
import type { Cli } from './context.ts';
import { Interrupted, PatienceOver } from './exit.ts';
import { harmless } from './output/table.ts';

interface ErrorView {
  readonly type: string;
  readonly message: string;
  readonly hint?: string;
  readonly requestId?: string;
  readonly issues?: readonly Issue[];
}

/** An error as `--json` tells it. */
export function errorView(error: unknown): ErrorView {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof DomainError)) return { type: error instanceof Error ? error.name : 'Error', message };
  const requestId = error.details?.['requestId'];
  const issues = issuesOf(error);
  return {
    type: error.type,
    message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(typeof requestId === 'string' ? { requestId } : {}),
    ...(issues.length > 0 ? { issues } : {}),
  };
}

/** Message, every mistake, what to try, and the id to find it by. */
export function sayError(
  cli: Pick<Cli, 'say' | 'paint'>,
  error: unknown,
  debug: boolean,
  lines: readonly string[] = [],
): void {
  const { say, paint } = cli;
  // Whoever pressed it knows the rest.
  if (error instanceof Interrupted) return say(`${paint('red', '✗')} Interrupted.`);
  const { type, message, hint, requestId, issues = [] } = errorView(error);
  // Several mistakes stand in the message too, in one long line.
  const [head = message] = issues.length > 1 ? message.split(': ', 1) : [message];
  say(`${paint('red', '✗')} ${harmless(head)}${issues.length > 1 ? ':' : ''}`);
  if (issues.length > 1) {
    for (const { at, path, message: what } of issues) {
      say(`    ${harmless(`${at === undefined ? '' : `${at}  `}${path === '' ? '' : `${path}: `}${what}`)}`);
    }
  }
  lines.forEach(say);
  if (hint !== undefined) say(`  Try: ${harmless(hint)}`);
  const known = error instanceof DomainError || error instanceof PatienceOver;
  say(paint('dim', `  (${[type, requestId && `request ${requestId}`].filter(Boolean).join(' · ')})`));
  if (debug && error instanceof Error) say(stackOf(error));
  else if (!known) say('  This is a bug of slipway: --debug shows where.');
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
