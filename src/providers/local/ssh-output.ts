import type { Readable, Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';

/**
 * What ssh2 1.17 keeps of a write that waits for the client's window. It never forgets the last one, and looks at stdout's
 * first: with both streams waiting, stderr stalls for ever, or bytes of stdout are sent twice (measured).
 */
interface Waiting {
  _chunk?: unknown;
  _chunkcb?: unknown;
  _chunkErr?: unknown;
  _chunkcbErr?: unknown;
}

/**
 * Sends both outputs of a program to its channel, one write at a time and each forgotten when it is done; a source is read
 * no faster than the client takes it. Ends when both have ended, or when the channel is gone.
 */
export async function forwardOutput(channel: ServerChannel, stdout: Readable, stderr: Readable): Promise<void> {
  let gone = false;
  const closed = new Promise<void>((resolve) => {
    channel.once('close', () => {
      gone = true;
      resolve();
    });
  });
  const write = (target: Writable, chunk: Buffer): Promise<void> =>
    new Promise((resolve) => {
      target.write(chunk, () => {
        Object.assign<ServerChannel, Waiting>(channel, {
          _chunk: undefined,
          _chunkcb: undefined,
          _chunkErr: undefined,
          _chunkcbErr: undefined,
        });
        resolve();
      });
    });
  let last: Promise<void> = Promise.resolve();
  const forward = async (source: Readable, target: Writable): Promise<void> => {
    try {
      for await (const chunk of source) {
        // A channel that closes never calls back.
        last = last.then(() => Promise.race([write(target, chunk as Buffer), closed]));
        await last;
        if (gone) return;
      }
    } catch (error) {
      // The pipes are torn down with the channel.
      if (!gone) throw error;
    }
  };
  await Promise.all([forward(stdout, channel), forward(stderr, channel.stderr)]);
}
