import type { Logger } from 'pino';

/** The line that alarms look for: something else answers in a machine's place. */
export const mismatchEvent = (
  logger: Logger | undefined,
  about: { readonly error: string; readonly machine?: string; readonly activity?: string; readonly workflow?: string },
): void => logger?.error({ security: true, ...about }, 'host key mismatch');
