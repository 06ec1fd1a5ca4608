import { pino, type Logger } from 'pino';

/** JSON lines on standard output, each with the pid; an error with the causes that it is chained to. */
export const processLogger = (level: string | undefined): Logger =>
  pino({
    level: level ?? 'info',
    base: { pid: process.pid },
    serializers: { error: pino.stdSerializers.errWithCause },
  });
