import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DomainError } from '../../src/domain/failure.ts';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { createAccounts } from '../../src/worker/accounts.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { memoryProvider } from '../support/memory-provider.ts';

vi.setConfig({ testTimeout: 90_000 });

let bench: LeaseBench;
beforeAll(async () => (bench = await startLeaseBench()));
afterAll(() => bench.stop());

const rate = { callsPerSecond: 20, burst: 5 };
const patience = (): AbortSignal => AbortSignal.timeout(60_000);

/** Two workers' views of one provider, which notes when it was called; `refuse` makes it refuse the next call. */
function workers() {
  const { provider } = memoryProvider();
  const account = `rate-${randomUUID().slice(0, 8)}`;
  const calledAt: number[] = [];
  const noted = {
    refuse: false,
    provider: {
      ...provider,
      findByKey: async (key: string, signal: AbortSignal) => {
        calledAt.push(performance.now());
        if (noted.refuse) {
          noted.refuse = false;
          throw new DomainError('RateLimited', 'slow down', { retryAfterMs: 1_500 });
        }
        return provider.findByKey(key, signal);
      },
    },
  };
  const to = { workflows: bench.client.workflow, taskQueue: bench.taskQueue, tuning: defaultTuning };
  const made = [1, 2].map(() =>
    createAccounts(to, bench.client, [{ name: account, providers: [provider.name], rate }]),
  );
  const providers = made.map((accounts) => accounts.limited(noted.provider));
  return {
    account,
    calledAt,
    noted,
    accounts: made,
    /** A call by the first worker (0) or the second (1). */
    call: async (worker: number) => {
      const limited = providers[worker];
      if (!limited) throw new Error(`there is no worker ${worker}`);
      return limited.findByKey('k', patience());
    },
    status: () => bench.client.workflow.getHandle(`quota/${account}`).query<QuotaStatus>('status'),
  };
}

describe('two workers on one account', () => {
  it('together never call more often than it allows', async () => {
    const { call, calledAt } = workers();
    const begin = performance.now();
    await Promise.all(Array.from({ length: 60 }, (_, n) => call(n % 2)));
    expect(calledAt).toHaveLength(60);
    // Granted before it is made: at no instant have there been more than burst and rate allow since the first was asked for.
    calledAt
      .toSorted((a, b) => a - b)
      .forEach((atMs, n) => {
        expect(n + 1).toBeLessThanOrEqual(rate.burst + (rate.callsPerSecond * (atMs - begin)) / 1_000);
      });
  });

  it('leave it alone both when it refused one of them for its rate', async () => {
    const { call, calledAt, noted, status } = workers();
    noted.refuse = true;
    await expect(call(0)).rejects.toMatchObject({ type: 'RateLimited' });
    expect((await status()).rate?.pausedUntil).toBeDefined();
    await Promise.all([call(0), call(1)]);
    const [refused = 0, ...later] = calledAt;
    for (const atMs of later) expect(atMs - refused).toBeGreaterThanOrEqual(1_500);
  });

  it('follow the settings: a rate that is taken away bounds nobody, one that is raised is in force at once', async () => {
    const { account, call, accounts, calledAt, status } = workers();
    await call(0);
    await accounts[0]?.follow([
      { name: account, providers: ['memory'], rate: { callsPerSecond: 1_000, burst: 1_000 }, quota: { cores: 3 } },
    ]);
    expect(await status()).toMatchObject({ quota: { cores: 3 }, rate: { burst: 1_000 } });
    for (const each of accounts) await each.follow([]);
    expect((await status()).quota).toEqual({});
    await Promise.all(Array.from({ length: 500 }, () => call(0)));
    expect(calledAt).toHaveLength(501);
  });
});
