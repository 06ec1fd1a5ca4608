import { lacking } from '../providers/lacking.ts';
import type { Activities } from './activities.ts';
import { beating } from './beat.ts';
import { providerOf, type Deps } from './deps.ts';
import { refOf } from './until-running.ts';

export const powerActivities = (deps: Deps): Pick<Activities, 'powerMachine'> => ({
  powerMachine: ({ machine, action }) =>
    beating(async (signal) => {
      const provider = providerOf(deps, machine.provider);
      if (!provider.power || !provider.capabilities().power) {
        const able = [...deps.providers].filter(([, each]) => each.capabilities().power).map(([name]) => name);
        throw lacking(machine.provider, 'power', able);
      }
      await provider.power(await refOf(deps, machine, signal), action, signal);
    }),
});
