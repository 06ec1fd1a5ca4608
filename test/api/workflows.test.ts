import type { Client } from '@temporalio/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { queryStatus } from '../../src/api/workflows.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

const grpc = (code: number, details: string): Error =>
  new Error('Failed to query Workflow', { cause: Object.assign(new Error(details), { code, details, metadata: {} }) });

/** A Temporal that fails the first queries so; a call that is late has waited for its deadline. */
function temporal(failures: readonly Error[]) {
  const left = [...failures];
  const waits: number[] = [];
  const client = {
    withDeadline: async (deadline: number, call: () => Promise<unknown>) => {
      waits.push(deadline - Date.now());
      try {
        return await call();
      } catch (error) {
        vi.setSystemTime(deadline);
        throw error;
      }
    },
    workflow: {
      getHandle: () => ({
        query: async () => {
          const failure = left.shift();
          if (failure) throw failure;
          return 'answered';
        },
      }),
    },
  } as unknown as Client;
  return { client, waits };
}

describe('a query', () => {
  const late = grpc(4, 'Deadline exceeded');

  it('that a closing run has lost is soon asked again', async () => {
    const { client, waits } = temporal([grpc(1, 'Call cancelled'), late]);
    expect(await queryStatus(client, 'lease/web')).toBe('answered');
    expect(waits).toEqual([2_000, 4_000, 8_000]);
  });

  it('that nobody answers is given up after 20 s', async () => {
    const { client, waits } = temporal([late, late, late, late, late]);
    await expect(queryStatus(client, 'lease/web')).rejects.toThrow('Failed to query');
    expect(waits).toEqual([2_000, 4_000, 8_000, 6_000]);
  });

  it('that is refused is not asked again', async () => {
    const { client, waits } = temporal([grpc(14, 'no connection')]);
    await expect(queryStatus(client, 'lease/web')).rejects.toThrow('Failed to query');
    expect(waits).toEqual([2_000]);
  });
});
