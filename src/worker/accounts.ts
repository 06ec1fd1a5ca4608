import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { updateAccount, type ToAccount } from '../activities/account-updates.ts';
import { quotaSignals, quotaUpdates } from '../contract/messages.ts';
import { quotaWorkflowId } from '../domain/ids.ts';
import type { Account } from '../domain/quota.ts';
import type { CallsGranted } from '../domain/token-bucket.ts';
import { rateLimited } from '../providers/rate-limited.ts';
import type { Provider } from '../providers/provider.ts';
import { createCallTaker } from './call-taker.ts';

/** What the worker does for the accounts of its providers. */
export interface Accounts {
  /** The provider, called no more often than its account allows, whatever the settings come to say. */
  limited(provider: Provider): Provider;
  /** Takes the settings as they are now, and tells them to the accounts that somebody asks of. */
  follow(accounts: readonly Account[]): Promise<void>;
}

/** @param first as the settings are at the start */
export function createAccounts(to: ToAccount, client: Client, first: readonly Account[]): Accounts {
  let accounts = first;
  const takers = new Map<string, ReturnType<typeof createCallTaker>>();
  const accountOf = (provider: string): Account | undefined =>
    accounts.find(({ providers }) => providers.includes(provider));

  const tell = async (account: string, signal: string, body: unknown): Promise<void> => {
    try {
      await client.workflow.getHandle(quotaWorkflowId(account)).signal(signal, body);
    } catch (error) {
      // Nobody asks of it now: who comes next says what the settings are.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  };
  const takerOf = (account: string): ReturnType<typeof createCallTaker> => {
    const known = takers.get(account);
    if (known) return known;
    const taker = createCallTaker({
      rate: () => accounts.find(({ name }) => name === account)?.rate,
      ask: (calls, rate) => updateAccount<CallsGranted>(to, account, quotaUpdates.takeCalls, { calls, rate }),
      tellThrottled: (retryAfterMs) =>
        tell(account, quotaSignals.throttled, retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
    takers.set(account, taker);
    return taker;
  };

  return {
    limited: (provider) =>
      rateLimited(provider, {
        async take(signal) {
          const account = accountOf(provider.name);
          if (account?.rate) await takerOf(account.name).take(signal);
        },
        async throttled(retryAfterMs) {
          const account = accountOf(provider.name);
          if (account?.rate) await takerOf(account.name).throttled(retryAfterMs);
        },
      }),
    async follow(next) {
      const before = accounts;
      accounts = next;
      for (const { name, quota = {}, rate } of next)
        await tell(name, quotaSignals.configure, { quota, ...(rate ? { rate } : {}) });
      // A quota that was taken away bounds nobody any more.
      const gone = before.filter(({ name }) => !next.some((each) => each.name === name));
      for (const { name } of gone) await tell(name, quotaSignals.configure, { quota: {} });
    },
  };
}
