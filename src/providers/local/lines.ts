import type { Socket } from 'node:net';

/** More than any call or answer; a peer that sends no newline must not fill our memory. */
const longestLineBytes = 64 * 1_048_576;

/** Calls back with each JSON line of the socket; what is no JSON ends the connection. */
export function onJsonLines(socket: Socket, take: (value: unknown) => void): void {
  let parts: Buffer[] = [];
  let size = 0;
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...parts, rest.subarray(0, end)]).toString('utf8');
      parts = [];
      size = 0;
      rest = rest.subarray(end + 1);
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        socket.destroy(error as Error);
        return;
      }
      take(value);
    }
    if (rest.length > 0) parts.push(rest);
    size += rest.length;
    if (size > longestLineBytes) socket.destroy(new Error('A line of the local provider is too long'));
  });
}

export function writeLine(socket: Socket, value: unknown): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(value)}\n`);
}
