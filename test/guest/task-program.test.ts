import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LaunchSpec } from '../../src/guest/guest.ts';
import { taskProgram } from '../../src/guest/task-program.ts';
import { shells, whichTool } from './protocol.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => !value.includes('\0'));
const nasty = fc.oneof(
  text,
  fc.constantFrom(
    "'",
    "''",
    String.raw`\'`,
    '$(id)',
    '`id`',
    '"',
    '\n',
    '\r\n',
    '\\',
    '!',
    '*',
    '~',
    ';',
    '\x1e',
    '\u0081',
  ),
);

describe('the program of a task', () => {
  it.each(shells.filter((shell) => whichTool(shell)))('gives %s every word and value as it was', (shell) => {
    const run = (spec: LaunchSpec): string[] =>
      execFileSync(
        whichTool(shell) ?? shell,
        shell === 'busybox' ? ['sh', '-c', taskProgram(spec)] : ['-c', taskProgram(spec)],
        {
          env: { PATH: '/usr/bin:/bin', HOME: '/' },
        },
      )
        .toString()
        .split('\0')
        .slice(0, -1);
    fc.assert(
      fc.property(fc.array(nasty, { maxLength: 4 }), nasty, nasty, (words, value, secret) => {
        const command = ['sh', '-c', String.raw`printf '%s\0' "$@" "$VALUE" "$SECRET"`, 'sh', ...words];
        expect(run({ command, env: { VALUE: value, SECRET: 'no' }, secrets: { SECRET: secret } })).toEqual([
          ...words,
          value,
          secret,
        ]);
      }),
      { numRuns: 40 },
    );
  });

  it('holds no secret outside its exports, and sets names that are the shell’s own by env', () => {
    const program = taskProgram({ command: ['a'], env: { UID: '1', LC_ALL: 'C', A: 'b' }, secrets: { S: 'x y' } });
    expect(program).toContain("export S='x y'\n");
    expect(program).toContain(`exec env 'UID=1' 'LC_ALL=C' "$@"`);
    expect(() => taskProgram({ command: ['a'], secrets: { UID: '1' } })).toThrow(/shell's own/);
  });

  it.each([
    [{ command: [] }, /empty/],
    [{ command: [''] }, /empty/],
    [{ command: ['-x'] }, /hyphen/],
    [{ command: ['a', 'b\0'] }, /NUL/],
    [{ command: { shell: 'x'.repeat(131_072) } }, /131071/],
    [{ command: ['a'], env: { 'B-C': '1' } }, /no name/],
    [{ command: ['a'], env: { SLIPWAY_TASK: '1' } }, /SLIPWAY_TASK/],
    [{ command: ['a'], cwd: '/\0' }, /NUL/],
  ] as const)('%j is refused', (spec, message) => {
    expect(() => taskProgram(spec)).toThrow(message);
  });
});
