/** Waits for a state; says which one never came. */
export async function until(
  what: string,
  is: () => Promise<boolean> | boolean,
  withinMs = 60_000,
  everyMs = 20,
): Promise<void> {
  const endMs = Date.now() + withinMs;
  for (;;) {
    if (await is()) return;
    if (Date.now() > endMs) throw new Error(`It did not come within ${withinMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
