/** One word of a POSIX shell, whatever is in it: single quotes hold every byte but themselves and NUL. */
export const shellWord = (value: string): string => `'${value.replaceAll("'", String.raw`'\''`)}'`;

/** The same for people: quoted only where it must be. */
export const shownWord = (value: string): string => (/^[\w@%+=:,./-]+$/.test(value) ? value : shellWord(value));
