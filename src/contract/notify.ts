import { z } from 'zod';
import { hostOf, isNeverCalled, type NotifyTarget } from '../domain/notify.ts';
import { name } from './common.ts';

const urlMistake = (text: string): string | undefined => {
  if (!URL.canParse(text) || !/^https?:\/\//i.test(text)) return 'must be an http or https URL';
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    return 'must not hold credentials: calls are signed, and the path may hold a token';
  return isNeverCalled(hostOf(url)) ? 'is an address that is never called (link-local)' : undefined;
};

/** Whom to tell when a lease is ready and when it has ended. */
export const notifyTarget: z.ZodType<NotifyTarget> = z.strictObject({
  url: z
    .string()
    .max(2048)
    .superRefine((text, context) => {
      const mistake = urlMistake(text);
      if (mistake !== undefined) context.addIssue(mistake);
    })
    .describe('http or https, without credentials'),
  secret: name.describe('the name of a secret under `secrets:` of slipway.yaml, to sign with'),
});

/** One that may be called: a host, with a port or without, or all hosts of a domain. */
export const allowedHost = z
  .string()
  .regex(
    /^(\*\.)?([a-z0-9_-]+\.)*[a-z0-9_-]+(:\d{1,5})?$|^\[[0-9a-f:.]+\](:\d{1,5})?$/i,
    'must be a host such as hooks.example.com, hooks.example.com:8443, *.example.com or [::1]',
  );
