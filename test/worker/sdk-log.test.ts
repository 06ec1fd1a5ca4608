import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { NativeConnection, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { installSdkLog } from '../../src/worker/sdk-log.ts';
import { sharedTemporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';

const isCore = (line: Record<string, unknown>): boolean => line['sdkComponent'] === 'core';

describe('a worker that loses its server', () => {
  it('has what the native part of the SDK says of it in our log, as lines of ours', async () => {
    const { address, namespace } = sharedTemporal();
    const [host = '', port = ''] = address.split(':');
    const sockets = new Set<Socket>();
    const link = createServer((near) => {
      const far = connect(Number(port), host);
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket
          .on('error', () => undefined)
          .on('close', () => {
            near.destroy();
            far.destroy();
          });
      }
      near.pipe(far).pipe(near);
    }).listen(0, '127.0.0.1');
    await once(link, 'listening');
    const { port: near } = link.address() as AddressInfo;
    const lines: Record<string, unknown>[] = [];
    const log = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
        done();
      },
    });
    installSdkLog(pino({ base: {} }, log));
    const connection = await NativeConnection.connect({ address: `127.0.0.1:${near}` });
    const taskQueue = `sdk-log-${process.pid}`;
    const worker = await Worker.create({ connection, namespace, taskQueue, activities: { none: () => undefined } });
    const running = worker.run();

    link.close();
    for (const socket of sockets) socket.destroy();
    await until('the native part says so', () => lines.some(isCore));
    expect(lines.find(isCore)).toMatchObject({ level: 40, msg: expect.any(String) as string });

    link.listen(near, '127.0.0.1');
    worker.shutdown();
    await running;
    await connection.close();
    for (const socket of sockets) socket.destroy();
    link.close();
  });
});
