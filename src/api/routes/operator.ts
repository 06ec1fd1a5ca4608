import { z } from 'zod';
import { machineStatus } from '../../contract/answers.ts';
import { bundleDetail, bundleReport, bundleView } from '../../contract/bundle-views.ts';
import {
  bundleParams,
  consoleDefaultBytes,
  consoleQuery,
  machineListing,
  machineListQuery,
  machineParams,
  machineView,
  providerParams,
  providersQuery,
  providerView,
  standingMachine,
  standingParams,
  userDataBody,
} from '../../contract/http.ts';
import { forgetBody, powerBody } from '../../contract/lease.ts';
import { leavingOf } from '../leaving.ts';
import { listMachines } from '../listings.ts';
import { forgetMachine, powerMachine, readConsole, viewMachine } from '../machines.ts';
import type { Routes } from '../server.ts';
import { listStanding, putBack } from '../standing.ts';
import { changeUserData, readUserData } from '../user-data.ts';

export const operatorRoutes: Routes = (api, deps) => {
  api.get(
    '/v1/machines',
    {
      schema: {
        summary: 'Machines, newest first',
        querystring: machineListQuery,
        response: { 200: z.array(machineListing) },
      },
    },
    (request) => listMachines(deps, request.query).then((machines) => [...machines]),
  );
  api.get(
    '/v1/machines/:id',
    { schema: { summary: 'A machine as it is', params: machineParams, response: { 200: machineView } } },
    (request, reply) => viewMachine(deps, request.params.id, leavingOf(reply)),
  );
  api.post(
    '/v1/machines/:id/power',
    {
      schema: {
        summary: 'Switch a machine on or off, or reset it; answered when its provider has taken it',
        params: machineParams,
        body: powerBody,
        response: { 200: machineView },
      },
    },
    (request, reply) => powerMachine(deps, request.params.id, { ...request.body, by: request.owner }, leavingOf(reply)),
  );
  api.get(
    '/v1/machines/:id/console',
    {
      schema: {
        summary: 'The end of what a machine has said on its console, at most so many bytes',
        params: machineParams,
        querystring: consoleQuery,
        produces: ['text/plain'],
      },
    },
    async (request, reply) => {
      const { bytes = consoleDefaultBytes } = request.query;
      const text = await readConsole(deps, request.params.id, bytes, leavingOf(reply));
      return reply.type('text/plain; charset=utf-8').send(text);
    },
  );
  api.get(
    '/v1/machines/:id/userdata',
    {
      schema: {
        summary: 'The cloud-init document that a machine was given, its secrets hidden',
        params: machineParams,
        response: { 200: userDataBody },
      },
    },
    async (request, reply) => ({ ...(await readUserData(deps, request.params.id, leavingOf(reply))) }),
  );
  api.put(
    '/v1/machines/:id/userdata',
    {
      schema: {
        summary:
          'Another document in its place: what is hidden stays; the next boot does again only what every boot does',
        params: machineParams,
        body: userDataBody,
        response: { 200: userDataBody },
      },
    },
    async (request, reply) => ({
      ...(await changeUserData(deps, request.params.id, request.body, leavingOf(reply))),
    }),
  );
  api.post(
    '/v1/machines/:id/forget',
    {
      schema: {
        summary: 'Give up a stuck machine that its provider may have for ever; its record stays',
        params: machineParams,
        body: forgetBody,
        response: { 200: machineStatus },
      },
    },
    (request) => forgetMachine(deps, request.params.id, request.body),
  );
  api.get(
    '/v1/bundles',
    { schema: { summary: 'The bundles that can be leased', response: { 200: z.array(bundleView) } } },
    async () => [...(await deps.bundles.list())],
  );
  api.get(
    '/v1/bundles/check',
    { schema: { summary: 'Every mistake of every bundle', response: { 200: bundleReport } } },
    () => deps.bundles.check(),
  );
  api.get(
    '/v1/bundles/:name',
    {
      schema: {
        summary: 'A bundle: the version in force, and what its file says if that is another',
        params: bundleParams,
        response: { 200: bundleDetail },
      },
    },
    (request) => deps.bundles.show(request.params.name),
  );
  api.get(
    '/v1/providers',
    {
      schema: {
        summary: 'What each provider can do here, tried now',
        querystring: providersQuery,
        response: { 200: z.array(providerView) },
      },
    },
    async (request, reply) => [...(await deps.checkProviders(request.query.name, leavingOf(reply)))],
  );
  api.get(
    '/v1/providers/:name/machines',
    {
      schema: {
        summary: 'The machines of a provider’s inventory, and who has them',
        params: providerParams,
        response: { 200: z.array(standingMachine) },
      },
    },
    async (request, reply) => [...(await listStanding(deps, request.params.name, leavingOf(reply)))],
  );
  api.post(
    '/v1/providers/:name/machines/:machine/put-back',
    {
      schema: {
        summary: 'Lend a machine of an inventory again that was taken out; it must answer with its pinned key',
        params: standingParams,
        response: { 200: standingMachine },
      },
    },
    (request, reply) => putBack(deps, request.params.name, request.params.machine, leavingOf(reply)),
  );
};
