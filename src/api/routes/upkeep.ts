import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { workflowType } from '../../contract/messages.ts';
import { ledgerLine, sweepBody, sweepReport } from '../../contract/sweep.ts';
import type { SweepReport } from '../../domain/sweep.ts';
import { ledger } from '../ledger.ts';
import { metrics } from '../metrics.ts';
import { exposition, expositionType } from '../prometheus.ts';
import type { Routes } from '../server.ts';

/** One look at every provider, and with `reclaim` a second one and the start of what follows. */
const sweepWithinMs = 300_000;

/** What exists because of us, and whether somebody knows of it. */
export const upkeepRoutes: Routes = (api, deps) => {
  api.get(
    '/v1/ledger',
    {
      schema: {
        summary: 'What each provider holds because of us: owned, orphaned, stuck, forgotten',
        response: { 200: z.array(ledgerLine) },
      },
    },
    () => ledger(deps).then((lines) => [...lines]),
  );
  api.post(
    '/v1/sweep',
    {
      schema: {
        summary: 'What carries our tag and has no open machine; with reclaim, reclaimed',
        body: z.preprocess((body) => body ?? {}, sweepBody),
        response: { 200: sweepReport },
      },
    },
    (request) =>
      deps.client.workflow.execute<(input: unknown) => Promise<SweepReport>>(workflowType.sweep, {
        workflowId: `sweep/${randomUUID()}`,
        taskQueue: deps.taskQueue,
        args: [request.body],
        workflowExecutionTimeout: sweepWithinMs,
        staticSummary: request.body.reclaim ? 'sweep, reclaiming' : 'sweep, only looking',
      }),
  );
  // Where Prometheus looks by itself. It sends the token like anybody else: loopback is open to every user of this computer.
  api.get(
    '/metrics',
    { schema: { summary: 'Metrics for Prometheus, in its text format', response: { 200: z.string() } } },
    async (_request, reply) =>
      reply
        .type(expositionType)
        .serializer(String)
        .send(exposition(await metrics(deps))),
  );
};
