import { createServer } from 'node:net';

const host = '127.0.0.1';

/**
 * Distinct ports that were free a moment ago, each the preferred one where that is free. Whoever takes one must be ready to
 * find it taken.
 */
export async function freePorts(preferred: readonly (number | undefined)[]): Promise<readonly number[]> {
  const held = await Promise.all(preferred.map((port) => hold(port)));
  await Promise.all(held.map(({ close }) => close()));
  return held.map(({ port }) => port);
}

interface Held {
  readonly port: number;
  readonly close: () => Promise<void>;
}

async function hold(preferred: number | undefined): Promise<Held> {
  const held = (preferred === undefined ? undefined : await listen(preferred)) ?? (await listen(0));
  if (held === undefined) throw new Error(`No free port on ${host}`);
  return held;
}

async function listen(port: number): Promise<Held | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        close: () => new Promise((done) => server.close(() => done())),
      });
    });
  });
}
