import { DomainError } from '../domain/failure.ts';

const full: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on its disk',
  EDQUOT: 'the quota of its disk is used up',
  EFBIG: 'the file may not grow further on its disk',
};

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * What the disk refused, as a failure that somebody can act on. `Internal` is retryable: once there is space again, a
 * retry goes on where this stopped.
 * @param what what could not be done, with its resource: `Could not store stdout of task a/b at byte 7`
 */
export function diskFailure(what: string, path: string, cause: unknown): DomainError {
  if (cause instanceof DomainError) return cause;
  const why = full[errorCode(cause) ?? ''];
  if (why !== undefined) {
    return new DomainError('Internal', `${what}: ${why} (${path}).`, {
      hint: 'Free space on that disk; what is stored is whole, and storing goes on where it stopped.',
      cause,
    });
  }
  const said = cause instanceof Error ? cause.message : String(cause);
  return new DomainError('Internal', `${what}: ${said}`, {
    hint: `Look at ${path}: it must be a folder that this user may write.`,
    cause,
  });
}
