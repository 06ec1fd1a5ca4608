import { until } from '../support/until.ts';

/** Many lives go side by side, each of them asking the server, and the machine may be busy with more. */
export const patiently = (what: string, is: () => Promise<boolean> | boolean): Promise<void> =>
  until(what, is, 180_000, 100);
