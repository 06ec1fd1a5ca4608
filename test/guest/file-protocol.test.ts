import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linesIn } from '../../src/guest/marked-stream.ts';
import { fileScript, newNonce } from '../../src/guest/scripts.ts';
import { linkShell, shells, whichTool } from './protocol.ts';

const linux = process.platform === 'linux';
const block = 64 * 1024;

describe.skipIf(!linux).each(shells.filter((shell) => whichTool(shell)))('the file protocol in %s', (shell) => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-file-'));
    mkdirSync(join(folder, 'path'));
    writeFileSync(join(folder, 'file.sh'), fileScript);
    linkShell(shell, join(folder, 'path'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const part = (): string => join(folder, '.target.part');
  const target = (): string => join(folder, 'target');
  /** One call of the script: what it is sent, and the words that it answers once its stdin has ended. */
  const call = (...words: readonly string[]) => {
    const nonce = newNonce();
    const env = { PATH: `${join(folder, 'path')}:/usr/bin:/bin`, HOME: folder };
    const child = spawn(join(folder, 'path', 'sh'), [join(folder, 'file.sh'), ...words], { env, stdio: 'pipe' });
    const stdout: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stdin.write(`${[nonce, target(), '.target.part', '', '', '0644', '0', '0'].join('\n')}\n`);
    const answer = new Promise<readonly string[]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve(linesIn(nonce, Buffer.concat(stdout)).at(-1) ?? []));
    });
    return {
      send: (bytes: Uint8Array) => child.stdin.write(bytes),
      end: (bytes: Uint8Array = Buffer.of()) => {
        child.stdin.end(bytes);
        return answer;
      },
    };
  };
  const holds = async (bytes: number): Promise<void> => {
    while (!existsSync(part()) || statSync(part()).size < bytes) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it('a writer that a broken connection left behind spoils nothing for the next', async () => {
    const bytes = randomBytes(20 * block + 1234);
    expect(await call('offset').end()).toEqual(['ok', '0']);
    const left = call('append', '0');
    left.send(bytes.subarray(0, 5 * block + 77));
    await holds(5 * block + 77);
    const [, offset = ''] = await call('offset').end();
    expect(Number(offset)).toBe(5 * block);
    // More of what was under way arrives between the look and the next attempt, and while that is under way.
    left.send(bytes.subarray(5 * block + 77, 8 * block));
    await holds(8 * block);
    const next = call('append', offset);
    next.send(bytes.subarray(5 * block, 9 * block));
    await holds(9 * block);
    await left.end(bytes.subarray(8 * block, 8 * block + 50));
    expect(await next.end(bytes.subarray(9 * block))).toEqual(['ok', String(bytes.length)]);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect((await call('finish', String(bytes.length), sha256).end())[0]).toBe('ok');
    expect(readFileSync(target()).equals(bytes)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('what lay there longer than the source is cut away', async () => {
    writeFileSync(part(), randomBytes(10 * block));
    const bytes = readFileSync(part()).subarray(0, 4 * block + 9);
    expect(await call('append', String(2 * block)).end(bytes.subarray(2 * block))).toEqual([
      'ok',
      String(bytes.length),
    ]);
  });

  it('an offset beyond what is here is refused', async () => {
    writeFileSync(part(), 'short');
    expect(await call('append', String(block)).end()).toEqual(expect.arrayContaining(['failed', 'size']));
  });
});
