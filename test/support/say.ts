/** Lines on stderr; those of a bar only each 10 s, since a log keeps every one. */
export function sayProgress(): (progress: { readonly text: string; readonly fraction?: number }) => void {
  let last = -Infinity;
  return ({ text, fraction }) => {
    if (fraction !== undefined && performance.now() - last < 10_000) return;
    if (fraction !== undefined) last = performance.now();
    process.stderr.write(`${text}\n`);
  };
}
