import { QueryNotRegisteredError } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import { domainErrorOf } from '../../src/api/temporal-failure.ts';

describe('a query that failed', () => {
  it.each(['Workflow did not register a handler for output. Registered queries: [status]', 'Unknown query output'])(
    'because nobody answers it is not found: %s',
    (message) => expect(domainErrorOf(new QueryNotRegisteredError(message, 3))).toMatchObject({ type: 'NotFound' }),
  );

  it('for any other reason may be asked again', () =>
    expect(domainErrorOf(new QueryNotRegisteredError('the worker is gone', 3))).toMatchObject({
      type: 'ProviderUnavailable',
      message: 'The stack does not answer now: the worker is gone.',
      retryAfterMs: 1_000,
    }));
});
