import type { Activities } from './activities.ts';
import { beating } from './beat.ts';
import { claimActivities } from './claims.ts';
import type { Deps } from './deps.ts';
import { evidenceActivities } from './evidence.ts';
import { toTemporal } from './failure.ts';
import { machineActivities } from './machines.ts';
import { notifyActivities } from './notify.ts';
import { powerActivities } from './power.ts';
import { quotaActivities } from './quotas.ts';
import { renewActivities } from './renew.ts';
import { sweepActivities } from './sweep.ts';
import { taskActivities } from './tasks.ts';
import { transferActivities } from './transfer.ts';
import { watchActivities } from './watch.ts';

/** The only code that touches the world for a workflow. */
export function createActivities(deps: Deps): Activities {
  return {
    async resolveBundle({ request }) {
      // A local activity: it has no heartbeat.
      try {
        const { plan } = await deps.resolve(request);
        return { plan, tuning: deps.tuning };
      } catch (error) {
        throw toTemporal(error);
      }
    },
    forgetSecrets: ({ leaseId }) => beating(() => deps.secrets.forget(leaseId)),
    ...claimActivities(deps),
    ...evidenceActivities(deps),
    ...machineActivities(deps),
    ...notifyActivities(deps),
    ...powerActivities(deps),
    ...quotaActivities(deps),
    ...renewActivities(deps),
    ...taskActivities(deps),
    ...transferActivities(deps),
    ...watchActivities(deps),
    ...sweepActivities(deps),
  };
}
