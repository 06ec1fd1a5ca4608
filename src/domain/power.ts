/** What can be done to a machine's power: `reset` is the hard one, the machine is not asked. */
export type PowerAction = 'on' | 'off' | 'reset';
