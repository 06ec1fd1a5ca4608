import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendFollow, serverSentEvents } from '../../src/api/follow-body.ts';
import { taskResult } from '../../src/contract/reports.ts';
import type { Followed } from '../../src/api/follow.ts';
import { eventSourceOf, openEventStream, type EventStream } from '../support/event-source.ts';
import { until } from '../support/until.ts';
import { freshId, startApiBench } from './api-bench.ts';
import type { ApiBench } from './api-bench.ts';

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterAll(() => bench.stop());

/** No text in any encoding: every byte, and what looks like the ends of lines and events. */
const raw = (bytes: number, step: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, n) => (n * step + (n >> 8)) & 0xff));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const start = (id: string): Promise<Response> =>
  bench.ask(`/v1/leases/${id}`, { method: 'PUT', body: JSON.stringify({ bundle: 'hello', job: { command: ['x'] } }) });
const follow =
  (id: string, query = '') =>
  (headers: Readonly<Record<string, string>>) =>
    bench.ask(`/v1/leases/${id}/tasks/job/follow${query}`, { headers });

/** The bytes of each stream, as they came; an offset that is not the next byte would be a loss, or a repetition. */
function bytesOf({ events }: EventStream): Readonly<Record<'stdout' | 'stderr', Buffer>> {
  const got = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  for (const { type, data } of events) {
    if (type !== 'stdout' && type !== 'stderr') continue;
    const { offset, base64 } = JSON.parse(data) as { offset: number; base64: string };
    expect(offset).toBe(got[type].length);
    got[type] = Buffer.concat([got[type], Buffer.from(base64, 'base64')]);
  }
  return got;
}
const lastOf = ({ events }: EventStream) => events.at(-1);

describe('server-sent events', () => {
  it('bring both streams apart, byte for byte, and then the result, after which nobody asks again', async () => {
    const id = freshId();
    const [out, err] = [raw(700_000, 7), raw(300_000, 31)];
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', out);
      await write('stderr', err);
      return 3;
    });
    await start(id);
    const stream = openEventStream(follow(id));
    expect(await stream.refused).toBe(204);
    expect(stream.asked).toBe(2);
    const got = bytesOf(stream);
    expect([sha256(got.stdout), sha256(got.stderr)]).toEqual([sha256(out), sha256(err)]);
    expect(lastOf(stream)).toMatchObject({ type: 'end', lastEventId: '700000-300000-end' });
    expect(taskResult.parse(JSON.parse(lastOf(stream)?.data ?? ''))).toMatchObject({ taskId: 'job', exitCode: 3 });
  });

  it('that are cut again and again lose nothing and repeat nothing', async () => {
    const id = freshId();
    const parts = Array.from({ length: 40 }, (_, n) => raw(997 + n, n + 1));
    bench.jobs.set(`${id}/job`, async (write) => {
      for (const [n, part] of parts.entries()) {
        await write(n % 3 === 0 ? 'stderr' : 'stdout', part);
        // A turn of its own, so that the follow sees it so far.
        await new Promise((resolve) => setImmediate(resolve));
      }
      return 0;
    });
    await start(id);
    // In the middle of a line, of an event, of its id: wherever it falls.
    const stream = openEventStream(follow(id), (asked) => (asked < 30 ? 1_500 + asked * 1_777 : undefined));
    expect(await stream.refused).toBe(204);
    expect(stream.asked).toBeGreaterThan(3);
    const of = (stderr: boolean): Buffer => Buffer.concat(parts.filter((_, n) => (n % 3 === 0) === stderr));
    expect(bytesOf(stream)).toEqual({ stdout: of(false), stderr: of(true) });
  });

  it('come live, with comments while the task is silent', async () => {
    const id = freshId();
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', 'one');
      await gate;
      await write('stdout', 'two');
      return 0;
    });
    await start(id);
    const stream = openEventStream(follow(id));
    await until('the first piece has come', () => stream.events.length === 1);
    const answer = await follow(id)({ accept: 'text/event-stream', 'last-event-id': '3-0' });
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const reader = answer.body?.getReader();
    let said = '';
    // Where it was is where it goes on: there is nothing but comments.
    while (said.length < 3 * ': alive\n\n'.length) said += Buffer.from((await reader?.read())?.value ?? []).toString();
    expect(said.replaceAll(': alive\n\n', '')).toBe('');
    await reader?.cancel();
    go();
    await stream.refused;
    expect(bytesOf(stream).stdout.toString()).toBe('onetwo');
  });

  it('begin at offsets that are asked for, and at those of the last event before them', async () => {
    const id = freshId();
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', '0123456789');
      return 0;
    });
    await start(id);
    await bench.ask(`/v1/leases/${id}?wait=ended`);
    const text = async (query: string, headers: Readonly<Record<string, string>>): Promise<string> =>
      (await follow(id, query)({ accept: 'text/event-stream', ...headers })).text();
    const piece = (offset: number, rest: string): string =>
      `event: stdout\nid: 10-0\ndata: {"offset":${offset},"base64":"${Buffer.from(rest).toString('base64')}"}\n\n`;
    expect(await text('?out=4', {})).toContain(piece(4, '456789'));
    expect(await text('?out=4', { 'last-event-id': '7-0' })).toContain(piece(7, '789'));
    expect(await text('?out=4', { 'last-event-id': 'of another server' })).toContain(piece(4, '456789'));
    expect(await text('', { 'last-event-id': '10-0' })).toMatch(/^: alive\n\nevent: end\n/);
  });

  it('tell a task that never was as a problem, after which nobody asks again', async () => {
    const id = freshId();
    bench.world.hold('createMachine');
    await start(id);
    await bench.world.isHeld('createMachine');
    const stream = openEventStream(follow(id));
    await until('it has asked', () => stream.asked === 1);
    await bench.ask(`/v1/leases/${id}/cancel`, { method: 'POST' });
    bench.world.letGo('createMachine');
    expect(await stream.refused).toBe(204);
    expect(stream.events).toMatchObject([{ type: 'problem', lastEventId: '0-0-end' }]);
    expect(JSON.parse(lastOf(stream)?.data ?? '')).toMatchObject({ type: 'NotFound', status: 404 });
  });

  it('want the token in a header, and refuse pages from elsewhere', async () => {
    const path = '/v1/leases/x/tasks/job/follow';
    const headers = { accept: 'text/event-stream' };
    expect((await bench.ask(`${path}?token=test-token`, { headers: { ...headers, authorization: '' } })).status).toBe(
      401,
    );
    expect((await bench.ask(path, { headers: { ...headers, origin: 'https://example.com' } })).status).toBe(403);
  });

  it('are shown by the lines of the documentation', async () => {
    const page = await readFile(new URL('../../docs/dispatching.md', import.meta.url), 'utf8');
    const lines = /```js\n(const events = new EventSource[^`]*)```/.exec(page)?.[1] ?? '';
    const id = freshId();
    // A character of three bytes that comes in two events.
    const euro = Buffer.from('€');
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', euro.subarray(0, 1));
      await gate;
      await write('stdout', euro.subarray(1));
      await write('stderr', 'oops');
      return 5;
    });
    await start(id);
    const shown = { stdout: '', stderr: '' };
    const closed: true[] = [];
    const result = new Promise<unknown>((done) => {
      runInNewContext(lines, {
        atob,
        TextDecoder,
        Uint8Array,
        EventSource: eventSourceOf(follow(id), () => closed.push(true)),
        show: (stream: 'stdout' | 'stderr', text: string) => {
          shown[stream] += text;
          // The first event shows nothing yet.
          go();
        },
        done,
      });
    });
    expect(await result).toMatchObject({ exitCode: 5 });
    expect(shown).toEqual({ stdout: '€', stderr: 'oops' });
    expect(closed).toEqual([true]);
  });

  it('are not waited for by who asks for the head only', async () => {
    const id = freshId();
    bench.jobs.set(`${id}/job`, () => new Promise<number>(() => undefined));
    await start(id);
    const answer = await bench.ask(`/v1/leases/${id}/tasks/job/follow`, { method: 'HEAD' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  it('for one who does not read are not gathered up', async () => {
    let pulled = 0;
    const bytes = new Uint8Array(100_000);
    async function* endless(): AsyncGenerator<Followed> {
      for (;;) {
        pulled += 1;
        yield { type: 'chunk', chunk: { stream: 'stdout', offset: (pulled - 1) * bytes.length, bytes } };
      }
    }
    const refuse = (): never => {
      throw new Error('it went wrong');
    };
    let sent = (): void => undefined;
    const reader = new Writable({ write: (_chunk, _encoding, done) => void (sent = done) });
    const sending = sendFollow(
      reader,
      endless(),
      serverSentEvents,
      { stdout: 0, stderr: 0 },
      { beatMs: 60_000, refuse },
    );
    // The beat at the beginning, and then one piece.
    sent();
    await until('it waits for its reader', () => pulled === 1);
    for (let turns = 0; turns < 200; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(pulled).toBe(1);
    reader.destroy();
    await sending;
    expect(pulled).toBe(1);
  });
});
