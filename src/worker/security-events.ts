import { ApplicationFailure } from '@temporalio/common';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { Logger } from 'pino';
import { mismatchEvent } from '../guest/mismatch-event.ts';

/** Says in the log that something else answered in a machine's place, whichever activity met it. */
export const securityEvents =
  (logger: Logger): ActivityInterceptorsFactory =>
  ({ info }) => ({
    inbound: {
      async execute(input, next) {
        try {
          return await next(input);
        } catch (error) {
          if (error instanceof ApplicationFailure && error.type === 'HostKeyMismatch') {
            const { activityType, workflowExecution } = info;
            const within = workflowExecution === undefined ? {} : { workflow: workflowExecution.workflowId };
            mismatchEvent(logger, { activity: activityType, ...within, error: error.message });
          }
          throw error;
        }
      },
    },
  });
