import { workflowInfo } from '@temporalio/workflow';
import { workflowType } from '../contract/messages.ts';
import { invalid, refuseTheRest } from './door.ts';

export { lease } from './lease.ts';
export { machine } from './machine.ts';
export { task } from './task.ts';
export { pool } from './pool.ts';
export { quota } from './quota.ts';
export { file } from './file.ts';
export { key } from './key.ts';
export { notify } from './notify.ts';
export { sweep } from './sweep.ts';

/** Whatever else is started on our queue: unknown, it would retry its first task for ever. */
// oxlint-disable-next-line import/no-default-export -- the SDK's form of a handler for every other type
export default async function unknownWorkflow(): Promise<never> {
  refuseTheRest('none', () => undefined);
  throw invalid(
    `Unknown workflow type ${workflowInfo().workflowType}; known: ${Object.values(workflowType).join(', ')}`,
  );
}
