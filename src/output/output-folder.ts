import { join } from 'node:path';
import { DomainError } from '../domain/failure.ts';
import type { Stream } from '../domain/task.ts';

/** Each part of a task key becomes a folder: nothing that could climb, hide or be read as another path. */
const segmentPattern = /^[a-z0-9][a-z0-9._+-]{0,127}$/i;

export interface OutputFolder {
  readonly taskKey: string;
  readonly path: string;
  readonly stream: Readonly<Record<Stream, string>>;
  /** Written at the end only: its presence is what followers wait for. */
  readonly meta: string;
  /** How far a cut stream was counted; only there once one is cut. A file of its own, so that a late twin of a writer can never take the end back. */
  readonly counted: string;
}

/** @throws DomainError InvalidRequest for a key that is no plain path */
export function outputFolder(root: string, taskKey: string): OutputFolder {
  const segments = taskKey.split('/');
  if (!segments.every((segment) => segmentPattern.test(segment))) {
    throw new DomainError('InvalidRequest', `${JSON.stringify(taskKey)} is no task key.`, {
      hint: 'A task key is lease/task, each part of letters, digits, dot, underscore, plus and hyphen.',
    });
  }
  const path = join(root, ...segments);
  return {
    taskKey,
    path,
    stream: { stdout: join(path, 'out'), stderr: join(path, 'err') },
    meta: join(path, 'meta.json'),
    counted: join(path, 'counted.json'),
  };
}
