import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/failure.ts';
import { isAllowed, verdictOf } from '../domain/notify.ts';
import type { Activities } from './activities.ts';
import { beating } from './beat.ts';
import type { Deps } from './deps.ts';
import { post, signedHeaders, signingKey, unanswered } from './webhook.ts';

export const notifyActivities = (deps: Pick<Deps, 'secrets' | 'notifyAllow'>): Pick<Activities, 'notify'> => ({
  notify: ({ leaseId, webhookId, target, body }) =>
    beating(async (signal) => {
      const url = new URL(target.url);
      // The operator may have changed it since the lease was taken.
      if (!isAllowed(url, await deps.notifyAllow())) {
        throw new DomainError('NotifyRefused', `${url.host} is not among the hosts that may be called.`, {
          hint: 'The operator names them under notify.allow of slipway.yaml.',
        });
      }
      const key = signingKey(target.secret, await deps.secrets.value(leaseId, target.secret));
      const text = JSON.stringify(body);
      const { status, retryAfter } = await post(url, text, signedHeaders(key, webhookId, text, Date.now()), signal);
      const { attempt: tries } = Context.current().info;
      const verdict = verdictOf(status, retryAfter, tries, Date.now());
      switch (verdict.do) {
        case 'done':
          return { status, tries };
        case 'tryAgain':
          throw unanswered(url, `it answered ${status}`, undefined, verdict.afterMs);
        case 'giveUp':
          throw new DomainError('NotifyRefused', `${url.origin} ${verdict.why}.`, { hint: verdict.hint });
      }
    }),
});
