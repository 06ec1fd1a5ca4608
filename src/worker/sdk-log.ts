import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';

const named = { TRACE: 'debug', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** All that the SDK says, at its level, in our log: also its native part, which would else print lines of its own beside ours. */
export function installSdkLog(logger: Logger): void {
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => logger[named[level]](meta ?? {}, message)),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } } },
    shutdownSignals: [],
  });
}
