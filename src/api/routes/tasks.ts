import { z } from 'zod';
import { taskStatus as taskStatusAnswer, taskSummary } from '../../contract/answers.ts';
import { leaseParams, taskParams } from '../../contract/http.ts';
import { reasonBody, taskSpec } from '../../contract/lease.ts';
import type { Routes } from '../server.ts';
import { cancelTask, runTask, taskStatus, tasksOf } from '../tasks.ts';

export const taskRoutes: Routes = (api, deps) => {
  api.put(
    '/v1/leases/:id/tasks/:task',
    {
      schema: {
        summary: 'Run a command on the machine of a lease; at most once per id',
        params: taskParams,
        body: taskSpec,
        response: { 200: taskSummary, 201: taskSummary },
      },
    },
    async (request, reply) => {
      const { id, task } = request.params;
      const accepted = await runTask(deps, id, task, request.body);
      return reply.status(accepted.created ? 201 : 200).send(accepted.task);
    },
  );
  api.get(
    '/v1/leases/:id/tasks',
    { schema: { summary: 'The tasks of a lease', params: leaseParams, response: { 200: z.array(taskSummary) } } },
    (request) => tasksOf(deps, request.params.id).then((tasks) => [...tasks]),
  );
  api.get(
    '/v1/leases/:id/tasks/:task',
    {
      schema: {
        summary: 'A task with the tails of its output',
        params: taskParams,
        response: { 200: taskStatusAnswer },
      },
    },
    (request) => taskStatus(deps, request.params.id, request.params.task),
  );
  api.post(
    '/v1/leases/:id/tasks/:task/cancel',
    {
      schema: {
        summary: 'TERM, a grace, KILL',
        params: taskParams,
        body: z.preprocess((body) => body ?? {}, reasonBody),
        response: { 200: taskStatusAnswer },
      },
    },
    (request) => cancelTask(deps, request.params.id, request.params.task, request.body),
  );
};
