import { readFile } from 'node:fs/promises';
import type { Stream, TaskResult } from '../domain/task.ts';
import { replaceFile } from '../host/atomic-file.ts';
import { diskFailure, errorCode } from './disk-failure.ts';
import type { OutputFolder } from './output-folder.ts';

/** The whole of `meta.json`. */
export interface OutputEnd {
  readonly end: TaskResult;
  /** Epoch ms of the storing host, when the end was stored first: retention counts from here. */
  readonly endedAtMs: number;
}

/** The whole of `counted.json`: bytes seen of each stream, and the limit that cut one. */
export type Counted = Readonly<Record<Stream, number>> & { readonly limitBytes: number };

async function readJson<T>(path: string): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw diskFailure(`Could not read ${path}`, path, error);
  }
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    // Only ever replaced as a whole: anything else in it came from outside.
    throw diskFailure(`${path} is damaged`, path, error);
  }
}

export const readEnd = (folder: OutputFolder): Promise<OutputEnd | undefined> => readJson<OutputEnd>(folder.meta);

export const readCounted = (folder: OutputFolder): Promise<Counted | undefined> => readJson<Counted>(folder.counted);

/** Repeatable: the first end keeps its instant. */
export async function writeEnd(folder: OutputFolder, end: TaskResult, nowMs: number): Promise<void> {
  const before = await readEnd(folder);
  const meta: OutputEnd = { end, endedAtMs: before?.endedAtMs ?? nowMs };
  try {
    await replaceFile(folder.meta, `${JSON.stringify(meta)}\n`);
  } catch (error) {
    throw diskFailure(`Could not store the end of task ${folder.taskKey}`, folder.meta, error);
  }
}

export async function writeCounted(folder: OutputFolder, counted: Counted): Promise<void> {
  try {
    await replaceFile(folder.counted, `${JSON.stringify(counted)}\n`);
  } catch (error) {
    throw diskFailure(`Could not store how much output task ${folder.taskKey} made`, folder.counted, error);
  }
}
