/** The API of `slipway dev`: on loopback; `stack.json` says where Temporal is, and `run/api.json` where the API answers. */
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { processLogger } from '../config/process-logger.ts';
import { readStackFile } from '../config/stack-file.ts';
import { stateFolder } from '../config/state-folder.ts';
import { DomainError } from '../domain/failure.ts';
import { replaceFile } from '../host/atomic-file.ts';
import { runApi } from './run.ts';

const loopback = '127.0.0.1';
const preferredPort = 4800;
const isPreferred = process.env['SLIPWAY_PORTS'] !== 'any';

const logger = processLogger(process.env['SLIPWAY_LOG_LEVEL']);

async function main(): Promise<void> {
  const startedAt = new Date().toISOString();
  const folder = process.env['SLIPWAY_STATE'];
  if (!folder) {
    const hint = 'start the stack with `slipway dev`, which gives it.';
    throw new DomainError('InvalidRequest', 'The API needs SLIPWAY_STATE, the absolute path of the state folder.', {
      hint,
    });
  }
  const state = stateFolder(folder);
  const stack = await readStackFile(state.stack);
  if (!stack) throw new DomainError('NotFound', `No stack runs on ${state.root}.`, { hint: 'slipway dev' });
  await runApi({
    state,
    temporal: stack.temporal,
    listenAt: async (port) => ({
      host: loopback,
      port: port ?? (isPreferred && (await isFree(preferredPort)) ? preferredPort : 0),
    }),
    anyPort: !isPreferred,
    logger,
    onReady: async (url) => {
      await mkdir(state.run, { recursive: true, mode: 0o700 });
      const started = { pid: process.pid, startedAt, ready: true, url };
      await replaceFile(join(state.run, 'api.json'), `${JSON.stringify(started)}\n`);
    },
  });
}

/** Another stack on this computer may have the preferred port already; Fastify's own failure would end the process. */
const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: loopback, port }, () => probe.close(() => resolve(true)));
  });

main().then(
  () => process.exit(0),
  (error: unknown) => {
    logger.fatal({ error }, error instanceof Error ? error.message : String(error));
    process.exit(1);
  },
);
