import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { array, assert, constantFrom, nat, property, tuple, uint8Array } from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import type { FollowNews } from '../../src/client/follow.ts';
import { createFrameReader, frameHeader } from '../../src/contract/frames.ts';
import { DomainError } from '../../src/domain/failure.ts';

const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const frame = (stream: 'stdout' | 'stderr' | 'end' | 'problem', offset: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([frameHeader(stream, offset, bytes.length), bytes]);
const result = { taskId: 'job', state: 'exited', exitCode: 7 };

describe('frames', () => {
  it('cut anywhere give the same bytes', () => {
    assert(
      property(
        array(tuple(constantFrom('stdout' as const, 'stderr' as const), uint8Array({ maxLength: 40 })), {
          maxLength: 8,
        }),
        array(nat(200), { maxLength: 12 }),
        (frames, cuts) => {
          const at = { stdout: 0, stderr: 0 };
          const want = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
          const parts = frames.map(([stream, bytes]) => {
            const part = frame(stream, at[stream], bytes);
            at[stream] += bytes.length;
            want[stream] = Buffer.concat([want[stream], bytes]);
            return part;
          });
          const whole = Buffer.concat([...parts, frame('end', 0, bytesOf(JSON.stringify(result)))]);
          const read = createFrameReader();
          const got = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
          let end = '';
          const edges = [0, ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length];
          edges.slice(1).forEach((edge, n) => {
            for (const piece of read(whole.subarray(edges[n], edge))) {
              if ('text' in piece) end = piece.text;
              else {
                expect(piece.offset).toBe(got[piece.stream].length);
                got[piece.stream] = Buffer.concat([got[piece.stream], piece.bytes]);
              }
            }
          });
          expect(got).toEqual(want);
          expect(JSON.parse(end)).toEqual(result);
        },
      ),
    );
  });

  it('of anything else are refused', () => {
    expect(() => createFrameReader()(bytesOf('<!doctype html><html>'))).toThrow('no follow of slipway');
  });
});

const servers: (() => void)[] = [];
afterEach(() => servers.splice(0).forEach((close) => close()));

/** An API that answers each follow as it is told; with `port` in the place of one that has gone. */
async function serve(
  answer: (at: { out: number; err: number }, response: ServerResponse, n: number) => void,
  port = 0,
) {
  let n = 0;
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://x');
    answer({ out: Number(searchParams.get('out')), err: Number(searchParams.get('err')) }, response, (n += 1));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  servers.push(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

async function all(news: AsyncIterable<FollowNews>) {
  const got = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), result: undefined as unknown };
  for await (const each of news) {
    if (each.type === 'end') got.result = each.result;
    else {
      expect(each.offset).toBe(got[each.stream].length);
      got[each.stream] = Buffer.concat([got[each.stream], each.bytes]);
    }
  }
  return got;
}

describe('a follow', () => {
  it('that is cut in the middle of a frame goes on from the very byte', async () => {
    const out = randomBytes(100_000);
    const err = randomBytes(1_000);
    const asked: unknown[] = [];
    const { url } = await serve((at, response, n) => {
      asked.push(at);
      const rest = Buffer.concat([
        frame('stderr', at.err, err.subarray(at.err)),
        frame('stdout', at.out, out.subarray(at.out)),
        frame('end', 0, bytesOf(JSON.stringify(result))),
      ]);
      if (n < 4) response.write(rest.subarray(0, 20_000 + n), () => response.destroy());
      else response.end(rest);
    });
    const states: string[] = [];
    const client = createClient(async () => ({ url, token: 't' }));
    const got = await all(client.tasks.follow('l', 'job', { onConnection: (state) => states.push(state) }));
    expect(got.stdout.equals(out) && got.stderr.equals(err)).toBe(true);
    expect(got.result).toEqual(result);
    expect(asked).toHaveLength(4);
    expect(states).toEqual(['lost', 'back', 'lost', 'back', 'lost', 'back']);
  });

  it('whose API is away finds it under its new address', async () => {
    const first = await serve((_at, response) =>
      response.write(frame('stdout', 0, bytesOf('one ')), () => response.destroy()),
    );
    let url = first.url;
    const client = createClient(async (again) => {
      if (again) {
        const second = await serve((at, response) =>
          response.end(
            Buffer.concat([frame('stdout', at.out, bytesOf('two')), frame('end', 0, bytesOf(JSON.stringify(result)))]),
          ),
        );
        url = second.url;
      }
      return { url, token: 't' };
    });
    const news = client.tasks.follow('l', 'job', { onConnection: () => first.close() });
    expect((await all(news)).stdout.toString()).toBe('one two');
  });

  it('passes a problem on as the error that it is', async () => {
    const problem = { type: 'NotFound', title: 't', status: 404, detail: 'no task', requestId: 'r1', hint: 'look' };
    const { url } = await serve((_at, response) => response.end(frame('problem', 0, bytesOf(JSON.stringify(problem)))));
    const client = createClient(async () => ({ url, token: 't' }));
    const failed = await all(client.tasks.follow('l', 'job')).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(DomainError);
    expect(failed).toMatchObject({ type: 'NotFound', message: 'no task', hint: 'look', details: { requestId: 'r1' } });
  });

  it('that is refused is told as the API says it', async () => {
    const { url } = await serve((_at, response) => {
      response.writeHead(404, { 'content-type': 'application/problem+json', 'x-request-id': 'r2' });
      response.end(JSON.stringify({ type: 'NotFound', status: 404, detail: 'no lease' }));
    });
    const client = createClient(async () => ({ url, token: 't' }));
    await expect(all(client.tasks.follow('l', 'job'))).rejects.toMatchObject({
      type: 'NotFound',
      message: 'no lease',
      details: { status: 404, requestId: 'r2' },
    });
  });

  it('waits for a caller who is slow with a piece, and loses nothing', async () => {
    const out = randomBytes(8_000_000);
    const { url } = await serve((at, response) =>
      response.end(Buffer.concat([frame('stdout', at.out, out), frame('end', 0, bytesOf(JSON.stringify(result)))])),
    );
    const client = createClient(async () => ({ url, token: 't' }));
    const got: Buffer[] = [];
    for await (const news of client.tasks.follow('l', 'job')) {
      if (news.type === 'output') got.push(Buffer.from(news.bytes));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(Buffer.concat(got).equals(out)).toBe(true);
  });

  it('ends when it is told to', async () => {
    const { url } = await serve((_at, response) => response.write(frame('stdout', 0, bytesOf('x'))));
    const stop = new AbortController();
    const client = createClient(async () => ({ url, token: 't' }));
    const news = client.tasks.follow('l', 'job', { signal: stop.signal });
    expect((await news.next()).value).toMatchObject({ type: 'output' });
    stop.abort(new Error('enough'));
    await expect(news.next()).rejects.toThrow('enough');
  });

  it('is given up when its patience is over', async () => {
    const { url, close } = await serve((_at, response) => response.destroy());
    close();
    const client = createClient(async () => ({ url, token: 't' }), { patienceMs: 50 });
    await expect(all(client.tasks.follow('l', 'job', { patienceMs: 200 }))).rejects.toMatchObject({
      type: 'ProviderUnavailable',
    });
  });
});

describe('a call', () => {
  it('is asked again while the stack restarts, and an extension only if it cannot have arrived', async () => {
    let refuse = 2;
    const { url } = await serve((_at, response) => {
      refuse -= 1;
      if (refuse >= 0)
        response
          .writeHead(503, { 'content-type': 'application/problem+json' })
          .end('{"type":"ProviderUnavailable","detail":"away","status":503}');
      else response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
    });
    const client = createClient(async () => ({ url, token: 't' }));
    expect(await client.leases.list()).toEqual([]);
    refuse = 1;
    await expect(client.leases.extend('l', { byMs: 1 })).rejects.toMatchObject({
      type: 'ProviderUnavailable',
      message: 'away',
    });
  });
});
