/** In characters as a terminal counts most of them. */
const lengthOf = (text: string): number => Array.from(text).length;
export const cut = (text: string, most: number): string => Array.from(text).slice(0, most).join('');

/** Columns without borders, three blanks apart; the last one may be as long as it likes. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => lengthOf(row[column] ?? ''))));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - lengthOf(cell))))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

/** What stands in a cell that has nothing to say. */
export const nothing = '–';

/** On one line of a list, and no longer than that bears. */
export function oneLine(text: string, most = 160): string {
  const line = harmless(text.replaceAll(/\s+/g, ' ').trim());
  return lengthOf(line) > most ? `${cut(line, most - 1)}…` : line;
}

/** What a guest or a stranger wrote, for a terminal: without the control characters that would steer it. */
export const harmless = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  text.replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, '\uFFFD');
