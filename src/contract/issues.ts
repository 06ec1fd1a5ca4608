import type { DomainError } from '../domain/failure.ts';
import type { Issue } from './http.ts';

/** The mistakes that a failure names, each with its place: those of a request, or of an operator's file. */
export function issuesOf({ details }: DomainError): readonly Issue[] {
  if (Array.isArray(details?.['issues'])) return details['issues'] as Issue[];
  const mistakes = details?.['mistakes'];
  return Array.isArray(mistakes) ? mistakes.map(issueOf) : [];
}

interface Place {
  readonly path?: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  readonly col?: number;
}

function issueOf(mistake: unknown): Issue {
  if (typeof mistake === 'string') return { path: '', message: mistake };
  const { path = '', message, file, line, col } = mistake as Place;
  const issue = { path, message };
  return file === undefined ? issue : { ...issue, at: `${file.split('/').at(-1)}:${line}:${col}` };
}
