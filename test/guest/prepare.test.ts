import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linesIn } from '../../src/guest/marked-stream.ts';
import { newNonce, prepareText, taskScript } from '../../src/guest/scripts.ts';
import { linkShell, shells, whichTool } from './protocol.ts';

const linux = process.platform === 'linux';

describe.skipIf(!linux).each(shells.filter((shell) => whichTool(shell)))('the first use of a guest in %s', (shell) => {
  let folder: string;
  let base: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-prepare-'));
    base = join(folder, 'base');
    mkdirSync(join(folder, 'path'));
    linkShell(shell, join(folder, 'path'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const prepare = (
    change = (text: string) => text,
    on = base,
    marks: Record<string, string> = { SLIPWAY_ADDRESS: 'x' },
  ) => {
    const nonce = newNonce();
    const env = { PATH: `${join(folder, 'path')}:/usr/bin:/bin`, HOME: folder, ...marks };
    const input = change(prepareText(on, nonce));
    return linesIn(nonce, execFileSync(join(folder, 'path', 'sh'), { env, input, stdio: ['pipe', 'pipe', 'ignore'] }));
  };
  const installed = (): string[] => readdirSync(join(base, 'bin')).sort();

  it('tells its facts and brings the scripts, and the next one finds them', () => {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    expect(prepare()).toEqual([['facts', boot, release(), hostname()], ['prepared']]);
    const [file = '', task = ''] = installed();
    expect(installed()).toHaveLength(2);
    expect(file).toMatch(/^file-/);
    expect(readFileSync(join(base, 'bin', task), 'utf8')).toBe(taskScript);
    const { mtimeMs, ino } = statSync(join(base, 'bin', task));
    expect(prepare().at(-1)).toEqual(['prepared']);
    expect(statSync(join(base, 'bin', task))).toMatchObject({ mtimeMs, ino });
  });

  it('that has all of it asks for none of the scripts again', () => {
    const cut = (text: string): string => text.slice(0, text.indexOf(`script ${installed()[0]}`));
    expect(prepare().at(-1)).toEqual(['prepared']);
    expect(prepare(cut).at(-1)).toEqual(['prepared']);
    rmSync(join(base, 'bin', installed()[0] ?? ''));
    expect(prepare().at(-1)).toEqual(['prepared']);
    expect(installed()).toHaveLength(2);
  });

  it('that is cut short at any place installs no half of a script', () => {
    const whole = prepareText(base, newNonce()).length;
    for (const share of [0.3, 0.6, 0.9, 0.99]) {
      const said = prepare((text) => text.slice(0, Math.floor(whole * share)));
      expect(said.at(-1)?.[0]).not.toBe('prepared');
      if (existsSync(base)) expect(installed()).toEqual([]);
    }
    expect(prepare().at(-1)).toEqual(['prepared']);
    expect(installed()).toHaveLength(2);
  });

  it('is refused where a reboot would lose all, but not where the provider knows no reboot', () => {
    const memory = mkdtempSync('/dev/shm/slipway-prepare-');
    try {
      expect(prepare(undefined, memory, {}).at(-1)?.slice(0, 2)).toEqual(['refused', 'volatile']);
      expect(prepare(undefined, memory).at(-1)).toEqual(['prepared']);
    } finally {
      rmSync(memory, { recursive: true });
    }
  });

  it('is refused where there are no hard links', () => {
    const fake = join(folder, 'path', 'ln');
    rmSync(fake, { force: true });
    writeFileSync(fake, '#!/bin/sh\nexit 1\n');
    chmodSync(fake, 0o755);
    expect(prepare().at(-1)?.slice(0, 2)).toEqual(['refused', 'links']);
    expect(installed()).toEqual([]);
  });

  it('is refused where nothing can be written', () => {
    writeFileSync(base, 'a file');
    expect(prepare().at(-1)?.slice(0, 2)).toEqual(['refused', 'disk']);
  });
});
