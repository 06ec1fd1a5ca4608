import { randomInt } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { before, tracesAtHome } from '../support/traces.ts';
import { startReset, type ResetBench } from './reset-kit.ts';
import { shells, whichTool } from './protocol.ts';

/** Every file of the home but our own: path, kind, mode, owner, time and content. */
const photo = (home: string): string =>
  execFileSync(
    'sh',
    [
      '-c',
      `cd "$1" && find . -path ./.slipway -prune -o -printf '%p %y %m %U %G %l ' -exec sh -c '[ ! -f "$1" ] || [ -L "$1" ] || { stat -c %Y "$1"; sha256sum <"$1"; }' sh {} \\; -printf '\n'`,
      'sh',
      home,
    ],
    { encoding: 'utf8' },
  )
    .split('\n')
    .sort()
    .join('\n');

// Many processes each, on a machine that may be busy with others.
vi.setConfig({ testTimeout: 120_000 });

describe.skipIf(process.platform !== 'linux').each(shells.filter((shell) => whichTool(shell)))(
  'the reset protocol in %s',
  (shell) => {
    let bench: ResetBench;
    let digest: string;
    let as: string;
    const traces = tracesAtHome(String(randomInt(10_000, 99_999)));
    beforeAll(async () => {
      bench = startReset(shell);
      await bench.sh(before);
      await bench.sh('head -c 1500000 /dev/zero >~/large; ln -s kept.txt ~/to-kept; mkdir -p ~/empty');
      digest = await bench.baseline();
      as = photo(bench.home);
    });
    afterAll(async () => {
      await bench.say('reset', digest);
      bench.remove();
    });
    const seen = async (): Promise<readonly string[]> => {
      const looks = traces.map(({ look }, n) => `[ -z "$( (${look}) 2>/dev/null)" ] || echo ${n}`);
      const found = (await bench.sh(looks.join('\n'))).split('\n').filter((line) => line !== '');
      return found.map((n) => traces[Number(n)]?.what ?? n);
    };
    const leaveAll = (): Promise<string> => bench.sh(traces.map(({ leave }) => `(${leave}\n) 2>/dev/null`).join('\n'));

    it('finds nothing different where nobody was, and changes nothing there', async () => {
      expect(await seen()).toEqual([]);
      expect(await bench.say('compare', digest)).toEqual([]);
      expect(await bench.say('reset', digest)).toEqual([]);
      expect(photo(bench.home)).toBe(as);
    });

    it('takes away everything that a tenant leaves, and names it before', async () => {
      await leaveAll();
      expect(await seen()).toEqual(traces.map(({ what }) => what));
      const left = await bench.say('compare', digest);
      for (const sign of ['added', 'changed', 'missing', 'process', 'odd'])
        expect(left.some((line) => line.startsWith(`${sign} `))).toBe(true);
      expect(await bench.say('reset', digest)).toEqual([]);
      expect(await seen()).toEqual([]);
      expect(photo(bench.home)).toBe(as);
      expect(readdirSync(bench.base).sort()).toEqual(['active', 'baseline', 'bin', 'gone', 'tasks']);
    });

    it('may be cut at any moment, and finishes the next time', async () => {
      for (const afterMs of [0, 30, 100, 300, 600]) {
        await leaveAll();
        const { child, ended } = bench.start('reset', digest);
        await new Promise((resolve) => setTimeout(resolve, afterMs));
        // As a machine that loses power, or a connection that drops: all of it at once.
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
        await ended;
        expect(await bench.say('reset', digest)).toEqual([]);
        expect(await seen()).toEqual([]);
        expect(photo(bench.home)).toBe(as);
      }
    });

    it('may run twice at once: the last one ends the other', async () => {
      await leaveAll();
      const first = bench.start('reset', digest);
      await Promise.allSettled([bench.say('reset', digest), first.ended]);
      expect(await bench.say('reset', digest)).toEqual([]);
      expect(photo(bench.home)).toBe(as);
    });

    it('says what cannot be brought back', async () => {
      // Too large for a copy.
      await bench.sh('echo more >>~/large');
      expect(await bench.say('reset', digest)).toEqual([`changed ${bench.home}/large`]);
      await bench.sh('rm ~/large');
      expect(await bench.say('reset', digest)).toEqual([`missing ${bench.home}/large`]);
      await bench.sh('head -c 1500000 /dev/zero >~/large');
      digest = await bench.baseline();
      as = photo(bench.home);
    });

    it('believes no baseline and no copy that was changed meanwhile', async () => {
      const state = join(bench.base, 'baseline', 'state');
      const good = readFileSync(state);
      writeFileSync(state, Buffer.concat([good, Buffer.from('k\t/x\n')]));
      expect(await bench.say('reset', digest)).toEqual([expect.stringMatching(/^baseline .* was changed$/)]);
      writeFileSync(state, good);
      const copy = join(bench.base, 'baseline', 'files', bench.home, 'kept.txt');
      const was = readFileSync(copy);
      await bench.sh('rm ~/kept.txt');
      writeFileSync(copy, 'evil\n');
      expect(await bench.say('reset', digest)).toEqual([`changed ${bench.home}/kept.txt`]);
      writeFileSync(copy, was);
      await bench.sh(
        'touch -r ~/kept/in "$BASE/baseline/files$HOME/kept.txt"; chmod 644 "$BASE/baseline/files$HOME/kept.txt"; echo hidden >"$BASE/baseline/files/hidden"',
      );
      digest = await bench.say('reset', digest).then(() => bench.baseline());
      expect(existsSync(join(bench.base, 'baseline', 'files', 'hidden'))).toBe(false);
      as = photo(bench.home);
    });

    it('leaves alone what it is told to', async () => {
      await bench.sh('mkdir -p ~/data && echo 1 >~/data/it');
      const own = await bench.baseline([`${bench.home}/data`]);
      await bench.sh('echo 2 >>~/data/it; echo 3 >~/other');
      expect(await bench.say('reset', own, [`${bench.home}/data`])).toEqual([]);
      expect(await bench.sh('cat ~/data/it; ls ~/other 2>/dev/null')).toBe('1\n2\n');
      await bench.sh('rm -r ~/data');
      digest = await bench.baseline();
    });

    it('takes no baseline of what it could not compare', async () => {
      await bench.sh(String.raw`touch "$HOME/$(printf 'odd\nname')"`);
      expect(await bench.answer('baseline', '-')).toEqual([
        [
          'refused',
          'odd',
          ...'there are file names with control characters below'.split(' '),
          ...bench.home.split(' '),
        ],
      ]);
      await bench.sh('rm ~/odd*');
      expect(await bench.say('compare', digest)).toEqual([]);
    });

    it('is cut in a baseline, and takes it the next time', async () => {
      for (const afterMs of [0, 50, 150]) {
        const { child, ended } = bench.start('baseline', '-');
        await new Promise((resolve) => setTimeout(resolve, afterMs));
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
        await ended;
        digest = await bench.baseline();
        expect(await bench.say('reset', digest)).toEqual([]);
      }
    });
  },
);
