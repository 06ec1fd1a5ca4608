import fc from 'fast-check';
import { expect, it } from 'vitest';
import { withoutEscapes } from '../../src/cli/output/escapes.ts';

const shown = (text: string): string => Buffer.from(withoutEscapes()(Buffer.from(text))).toString();

it.each([
  ['colours', '\u001b[31mred\u001b[0m', 'red'],
  ['a cleared screen', 'a\u001b[2J\u001b[1;1Hb', 'ab'],
  ['a new title, ended by a bell or by ST', '\u001b]0;evil\u0007a\u001b]2;evil\u001b\\b', 'ab'],
  ['a question that the terminal would answer', '\u001bP$q"p\u001b\\\u001b[6nx', 'x'],
  ['another character set', '\u001b(0x\u001b)By', 'xy'],
  ['a reset', '\u001bcx', 'x'],
  ['the C1 forms', '\u009b31mred\u009d0;evil\u0007x\u0085y', 'redxy'],
  ['bells, backspaces and the like', 'a\u0007\b\u0000\u000e\u007fb', 'ab'],
])('%s are taken out', (_what, text, left) => {
  expect(shown(text)).toBe(left);
});

it('text of any language, tabs and line ends pass as they are', () => {
  const text = 'grün ¡é\u00a0Â£\t日本語 🚢\r\n';
  expect(shown(text)).toBe(text);
});

it('is the same however the bytes are cut', () => {
  const piece = fc.constantFrom('\u001b', '[', ']', '0;', 'm', '\u0007', '\\', '\u009b', '\u00c2', 'é', 'x', '\n', 'P');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(), (pieces, seed) => {
      const bytes = Buffer.from(pieces.join(''));
      const at = bytes.length === 0 ? 0 : seed % bytes.length;
      const filter = withoutEscapes();
      const cut = Buffer.concat([filter(bytes.subarray(0, at)), filter(bytes.subarray(at))]);
      expect(cut.equals(Buffer.from(withoutEscapes()(bytes)))).toBe(true);
    }),
  );
});
