import type { TestProject } from 'vitest/node';
import { sayProgress } from './say.ts';
import { startTestTemporal } from './temporal.ts';

/** One Temporal server for the run: found by the chain of the product, or fetched once, which is told. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  try {
    const server = await startTestTemporal(sayProgress());
    project.provide('temporal', { address: server.address });
    return server.stop;
  } catch (error) {
    // Most tests need no server: those that do fail with this text.
    const missing = error instanceof Error ? error.message : String(error);
    process.stderr.write(`No Temporal server for the tests: ${missing}\n`);
    project.provide('temporal', { missing });
    return async () => undefined;
  }
}
