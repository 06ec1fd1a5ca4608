import { STATUS_CODES } from 'node:http';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { Issue, Problem } from '../contract/http.ts';
import { issuesOf } from '../contract/issues.ts';
import { requestLimitBytes } from '../contract/lease.ts';
import { DomainError, failureTable } from '../domain/failure.ts';
import { failureWords } from '../domain/failure-words.ts';
import { domainErrorOf } from './temporal-failure.ts';

/** What a request is refused with, where HTTP knows a finer status than the failure table. */
const finer: Readonly<Record<string, number>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 413,
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 415,
  METHOD_NOT_ALLOWED: 405,
};

export interface Refusal {
  readonly problem: Problem;
  /** A bug of ours: its own words are for the log, not for the caller. */
  readonly bug: boolean;
}

/** Anything thrown on the way to an answer, as RFC 9457. */
export function refusalOf(error: unknown, requestId: string): Refusal {
  const code = codeOf(error);
  const known = ownMistake(error, code) ?? domainErrorOf(error);
  const failure =
    known ??
    new DomainError('Internal', 'Something went wrong that is not your fault.', {
      hint: `log/api.log of the state folder tells more under ${requestId}.`,
    });
  const status = (code === undefined ? undefined : finer[code]) ?? failureTable[failure.type].http;
  const issues = issuesOf(failure);
  return {
    bug: known === undefined || known.type === 'Internal',
    problem: {
      type: failure.type,
      title:
        status === failureTable[failure.type].http ? failureWords[failure.type].title : (STATUS_CODES[status] ?? ''),
      status,
      detail: failure.message,
      ...(failure.hint === undefined ? {} : { hint: failure.hint }),
      requestId,
      ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
      ...(issues.length > 0 ? { issues } : {}),
    },
  };
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Mistakes that Fastify finds by itself. */
function ownMistake(error: unknown, code: string | undefined): DomainError | undefined {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map((each): Issue => ({
      path: each.instancePath.split('/').filter(Boolean).join('.'),
      message: each.message ?? 'wrong',
    }));
    return invalid(issues);
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new DomainError('InvalidRequest', `The body is larger than ${requestLimitBytes} bytes.`, {
      hint: 'put large input into a file: PUT /v1/blobs/{sha256}, then files: [{blob, path}] or stdin: {blob} (slipway run --file, --stdin).',
    });
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new DomainError('InvalidRequest', 'The content type is not the one that is read here.', {
      hint: 'application/json; for blobs and secrets application/octet-stream.',
    });
  }
  if (error instanceof Error && (code?.startsWith('FST_ERR_CTP') || error instanceof SyntaxError)) {
    return new DomainError('InvalidRequest', `The body is not JSON: ${error.message}`, {
      hint: 'send one JSON object.',
    });
  }
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return error instanceof Error && status === 400 ? new DomainError('InvalidRequest', error.message) : undefined;
}

/** Every mistake at once, in the message too, for who reads only that. */
export function invalid(issues: readonly Issue[], what = 'The request'): DomainError {
  const said = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return new DomainError(
    'InvalidRequest',
    `${what} has ${said.length === 1 ? 'a mistake' : `${said.length} mistakes`}: ${said.join('; ')}`,
    {
      details: { issues },
    },
  );
}
