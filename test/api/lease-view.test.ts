import type { Client } from '@temporalio/client';
import { expect, it } from 'vitest';
import { leaseStatus } from '../../src/api/lease-view.ts';
import { workflowType } from '../../src/contract/messages.ts';

it('a closed lease that cannot be asked now has not failed for that', async () => {
  const unavailable = Object.assign(new Error('gone'), { code: 14, details: 'gone', metadata: {} });
  const away = () => Promise.reject(new Error('Failed to ask', { cause: unavailable }));
  const found = {
    type: workflowType.lease,
    status: { name: 'COMPLETED' },
    startTime: new Date(),
    typedSearchAttributes: { get: () => undefined },
  };
  const handle = { describe: () => Promise.resolve(found), query: away, result: away };
  const client = {
    withDeadline: (_deadline: number, call: () => unknown) => call(),
    workflow: { getHandle: () => handle },
  } as unknown as Client;
  await expect(leaseStatus(client, 'x')).rejects.toThrow('Failed to ask');
});
