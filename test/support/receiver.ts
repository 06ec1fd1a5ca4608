import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** A call as it came. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer = number | ((answer: ServerResponse, request: IncomingMessage) => void);

/** A dispatcher's web server on loopback: it keeps what it gets, and answers as it is told, 204 when not. */
/** @param at the port; a free one when absent */
export async function startReceiver(at = 0) {
  const calls: Call[] = [];
  const answers: Answer[] = [];
  let always: Answer = 204;
  const server = createServer((request, answer) => {
    void buffer(request).then((bytes) => {
      const { method = '', url: path = '', headers } = request;
      calls.push({ method, path, headers, body: bytes.toString() });
      const how = answers.shift() ?? always;
      if (typeof how === 'number') answer.writeHead(how).end();
      else how(answer, request);
    });
  });
  server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook/t0ken?a=b`,
    origin: `http://127.0.0.1:${port}`,
    port,
    /** In the order in which they came. */
    calls: calls as readonly Call[],
    /** Each once, before what it answers always. */
    next: (...some: readonly Answer[]): void => void answers.push(...some),
    answer: (how: Answer): void => void (always = how),
    async stop(): Promise<void> {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export type Receiver = Awaited<ReturnType<typeof startReceiver>>;
