import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StackTemporal } from '../../src/config/stack-file.ts';
import { isIdleNow } from '../../src/dev/idle-watch.ts';
import { startTestTemporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';

const server = await startTestTemporal();
let connection: Connection;
let client: Client;
beforeAll(async () => {
  connection = await Connection.connect({ address: server.address });
  client = new Client({ connection });
});
afterAll(async () => {
  await connection.close();
  await server.stop();
});

const minuteMs = 60_000;
const isIdle = (inMs = 0): Promise<boolean> => {
  const temporal: StackTemporal = { address: server.address, namespace: 'default', taskQueue: 'slipway' };
  return isIdleNow(connection, temporal, Date.now() + inMs);
};
/** Nobody works on it: it stays open. */
const open = (type: string) =>
  client.workflow.start(type, { workflowId: `${type}/one`, taskQueue: 'slipway', args: [] });

it('a stack is not idle while a dispatcher is told something, for some minutes, nor while anything else is open', async () => {
  expect(await isIdle()).toBe(true);
  const sweep = await open('sweep');
  const call = await open('notify');
  await until('it is seen', async () => !(await isIdle()));
  expect(await isIdle(9 * minuteMs)).toBe(false);
  expect(await isIdle(11 * minuteMs)).toBe(true);
  const lease = await open('lease');
  await until('it is seen', async () => !(await isIdle(11 * minuteMs)));
  await lease.terminate();
  await call.terminate();
  await until('all is over but upkeep', () => isIdle());
  await sweep.terminate();
});
