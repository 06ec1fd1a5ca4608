import { Context } from '@temporalio/activity';
import { quotaUpdates } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import type { QuotaAnswer } from '../domain/quota.ts';
import { updateAccount } from './account-updates.ts';
import type { Activities } from './activities.ts';
import { beating } from './beat.ts';
import type { Deps } from './deps.ts';
import { whileHeld } from './held.ts';

/** Who waits is told by a signal; asking again is for the case that the account's workflow was terminated. */
const askAgainMs = 60_000;

export function quotaActivities(deps: Deps): Pick<Activities, 'reserveQuota' | 'awaitQuota'> {
  const reserve: Activities['reserveQuota'] = async ({ account, ask }) => {
    const quota = (await deps.accounts()).find(({ name }) => name === account)?.quota;
    // Since the plan was made the operator has taken the quota away.
    if (!quota) return { state: 'granted' };
    const to = { workflows: deps.client.workflow, taskQueue: Context.current().info.taskQueue, tuning: deps.tuning };
    return updateAccount<QuotaAnswer>(to, account, quotaUpdates.reserve, { ask, quota });
  };
  return {
    reserveQuota: (input) => beating(() => reserve(input)),
    awaitQuota: (input) =>
      whileHeld(deps, input.holder, async () => {
        const answer = await reserve(input);
        if (answer.state !== 'queued') return answer;
        throw new DomainError('CapacityUnavailable', `place ${answer.place} of ${answer.of}: ${answer.why}`, {
          retryAfterMs: askAgainMs,
        });
      }),
  };
}
