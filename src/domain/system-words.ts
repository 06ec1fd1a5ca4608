/**
 * What the system has against a file: `no such file or directory` of Node's `ENOENT: no such file or directory, open '/x'`. For
 * messages that name the file already.
 */
export function systemWords(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /^E[A-Z0-9]+: (.+?), \w+(?: '.*)?$/s.exec(text)?.[1] ?? text;
}
