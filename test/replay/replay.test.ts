import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from 'vitest';
import { dataConverter, quietRuntime, workflowBundle } from '../support/workflow-bench.ts';

interface Saved {
  readonly workflowId: string;
  readonly history: unknown;
}

const folder = new URL('histories/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

beforeAll(() => quietRuntime());

/**
 * What ran yesterday goes on today: every saved history replays on the workflows as they are built now. A change that
 * breaks one must be guarded with `patched()`; then the histories stay, and those of the new way join them.
 */
describe('today’s workflows', () => {
  it('know every shape of a life', () => {
    for (const shape of [
      'released-with-job',
      'released-without-job',
      'failed-after-two-attempts',
      'cancelled-by-signal',
      'cancelled-by-temporal',
      'expired',
      'marked-ready-and-stuck',
      'lost-task',
      'given-up',
      'terminated',
      'pool',
      'pool-reset',
      'pool-reload',
      'strayed',
      'quota',
      'fast-create',
      'watched-gate',
      'gate-all',
      'gate-any',
      'gate-check-in',
      'own-host-key',
    ]) {
      expect(files.filter((name) => name.startsWith(`${shape}.`)).length).toBeGreaterThanOrEqual(2);
      expect(files.some((name) => name.startsWith(`${shape}-continued.lease`) && name.includes('.run-2.'))).toBe(true);
    }
  });

  it('replay all that is saved of them', { timeout: 120_000 }, async () => {
    const saved = files.map((name) => {
      const { workflowId, history } = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Saved;
      return { name, workflowId, history };
    });
    const broken: string[] = [];
    let replayed = 0;
    // One worker for all of them.
    for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle, dataConverter }, saved)) {
      replayed += 1;
      const names = saved.filter((one) => one.workflowId === workflowId).map((one) => one.name);
      if (error) broken.push(`one of ${names.join(', ')}: ${error.message}`);
    }
    expect(replayed).toBe(files.length);
    expect(broken).toEqual([]);
  });
});
