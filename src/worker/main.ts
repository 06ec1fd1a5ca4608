/** The worker of `slipway dev`: `stack.json` says where Temporal is, and the supervisor reads in `run/worker.json` that it is ready. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { processLogger } from '../config/process-logger.ts';
import { readStackFile } from '../config/stack-file.ts';
import { workerEnvironment } from '../config/worker-environment.ts';
import { DomainError } from '../domain/failure.ts';
import { replaceFile } from '../host/atomic-file.ts';
import { runWorker } from './run.ts';

const environment = workerEnvironment();
const { state } = environment;
const logger = processLogger(environment.logLevel);

async function main(): Promise<void> {
  const stack = await readStackFile(state.stack);
  if (!stack) throw new DomainError('NotFound', `No stack runs on ${state.root}.`, { hint: 'slipway dev' });
  await runWorker({
    environment,
    temporal: stack.temporal,
    keepsPools: async () => (await readStackFile(state.stack))?.mode !== 'one-shot',
    logger,
    onReady: async () => {
      await mkdir(state.run, { recursive: true, mode: 0o700 });
      const started = { pid: process.pid, startedAt: new Date().toISOString(), ready: true };
      await replaceFile(join(state.run, 'worker.json'), `${JSON.stringify(started)}\n`);
    },
  });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    logger.fatal({ error }, error instanceof Error ? error.message : String(error));
    process.exit(1);
  },
);
