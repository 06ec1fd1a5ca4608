import type { StackTemporal } from '../config/stack-file.ts';
import { foreignTemporal } from '../config/temporal-connection.ts';
import { taskQueue } from '../contract/messages.ts';

/**
 * The server of a deployment: that of `TEMPORAL_ADDRESS`, or of the profile that `TEMPORAL_PROFILE` names.
 * @throws DomainError InvalidRequest when neither names one
 */
export function deploymentTemporal(): StackTemporal {
  const profile = '';
  const { options, namespace } = foreignTemporal(profile);
  return { address: options.address, namespace, taskQueue, profile };
}
