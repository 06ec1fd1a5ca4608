/** What can be done to a machine's power: `reset` is the hard one, the machine is not asked. */
export const powerActions = ['on', 'off', 'reset'] as const;
export type PowerAction = (typeof powerActions)[number];
/** How long a provider is asked. */
export const powerWithinMs = 120_000;
