import { ApplicationFailure } from '@temporalio/common';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { Logger } from 'pino';

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
            const about = { activity: activityType, workflow: workflowExecution?.workflowId, error: error.message };
            logger.error({ security: true, ...about }, 'host key mismatch');
          }
          throw error;
        }
      },
    },
  });
