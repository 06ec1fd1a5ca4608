import { open, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../../host/atomic-file.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { inFolder } from './arguments.ts';

/** More than this is cut at the next look, so that a guest that never stops talking does not fill the disk. */
const mostBytes = 4_194_304;
const keptBytes = 1_048_576;
const before = `${inFolder.console}.1`;

/** QEMU appends: what is cut off here does not come back. Bytes that come in this moment may be lost. */
export async function keepConsoleShort(folder: string): Promise<void> {
  const file = join(folder, inFolder.console);
  const found = await stat(file).catch(noneIfMissing);
  if (!found || found.size <= mostBytes) return;
  await replaceFile(join(folder, before), await tailOf(file, keptBytes));
  await truncate(file, 0);
}

/** The end of what it has said. */
export async function consoleTail(folder: string, maxBytes: number): Promise<string> {
  const now = await tailOf(join(folder, inFolder.console), maxBytes);
  const earlier = await tailOf(join(folder, before), maxBytes - now.length);
  return Buffer.concat([earlier, now]).toString('utf8');
}

async function tailOf(file: string, maxBytes: number): Promise<Buffer> {
  const handle = await open(file, 'r').catch(noneIfMissing);
  if (!handle) return Buffer.alloc(0);
  try {
    const { size } = await handle.stat();
    const length = Math.max(0, Math.min(size, maxBytes));
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
