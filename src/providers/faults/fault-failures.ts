import { DomainError } from '../../domain/failure.ts';
import type { Rule, RuleOf } from './fault-file.ts';

/** What a call throws in place of having its effect now. @param call for people: `create of provider local` */
export function refusalBefore(rule: Rule, call: string): DomainError | undefined {
  if (rule.fault === 'rateLimited')
    return new DomainError('RateLimited', `Injected fault: 429 to ${call}.`, asked(rule));
  if (rule.fault === 'serverError') return new DomainError('ProviderUnavailable', `Injected fault: 500 to ${call}.`);
  if (rule.fault === 'reset')
    return new DomainError('ProviderUnavailable', `Injected fault: connection reset in ${call}.`);
  return rule.fault === 'failure' && rule.when === 'before' ? failureOf(rule, call) : undefined;
}

/** What a call throws after its effect. */
export function failureAfter(rule: Rule, call: string): DomainError | undefined {
  if (rule.fault === 'lostResponse')
    return new DomainError('ProviderUnavailable', `Injected fault: the answer to ${call} was lost.`);
  return rule.fault === 'failure' && rule.when === 'after' ? failureOf(rule, call) : undefined;
}

const failureOf = (rule: RuleOf<'failure'>, call: string): DomainError =>
  new DomainError(rule.type, `Injected fault: ${rule.type} ${rule.when} the effect of ${call}.`, asked(rule));

const asked = ({ retryAfterMs }: { readonly retryAfterMs?: number }): { readonly retryAfterMs?: number } =>
  retryAfterMs === undefined ? {} : { retryAfterMs };
