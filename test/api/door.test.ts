import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshId, injected, port, startApiBench, token } from './api-bench.ts';
import type { ApiBench } from './api-bench.ts';

let bench: ApiBench;
let hosts: readonly string[] = [];
beforeAll(
  async () => (bench = await startApiBench({ port, blobLimitBytes: 5_000_000, hosts: () => Promise.resolve(hosts) })),
);
afterAll(() => bench.stop());

const get = async (headers: Record<string, string>) =>
  (await bench.api.inject(injected({ url: '/v1/bundles', headers }))).statusCode;

/** A plain HTTP exchange, with headers that fetch would set by itself. */
const exchange = (path: string, headers: Record<string, string>, body: Iterable<Uint8Array>) =>
  new Promise<{ status: number; text: string }>((resolve, reject) => {
    const outgoing = httpRequest(
      `${bench.url}${path}`,
      { method: 'PUT', headers: { host: `127.0.0.1:${port}`, authorization: `Bearer ${token}`, ...headers } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    outgoing.on('error', reject);
    const send = async (): Promise<void> => {
      for (const chunk of body)
        if (!outgoing.write(chunk)) await new Promise((drained) => outgoing.once('drain', drained));
      outgoing.end();
    };
    void send();
  });

describe('who may ask', () => {
  it('only one who has the token', async () => {
    expect(await get({})).toBe(200);
    expect(await get({ authorization: 'Bearer wrong' })).toBe(401);
    expect(await get({ authorization: `Basic ${token}` })).toBe(401);
    const answer = await bench.api.inject({ url: '/v1/leases', headers: { host: `127.0.0.1:${port}` } });
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json()).toMatchObject({ type: 'Unauthorized', requestId: answer.headers['x-request-id'] });
  });

  it('only by a name of this computer, with our port', async () => {
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, `127.1.2.3:${port}`])
      expect(await get({ host })).toBe(200);
    for (const host of [
      `evil.example:${port}`,
      '127.0.0.1:1',
      '127.0.0.1',
      `localhost.evil.example:${port}`,
      `127.0.0.1.evil.example:${port}`,
    ]) {
      expect([host, await get({ host })]).toEqual([host, 403]);
    }
  });

  it('no page from elsewhere', async () => {
    expect(await get({ origin: `http://127.0.0.1:${port}` })).toBe(200);
    for (const origin of ['http://evil.example', 'null', `https://127.0.0.1:${port}`, 'http://127.0.0.1:8080']) {
      expect([origin, await get({ origin })]).toEqual([origin, 403]);
    }
  });

  it('by a name that the operator gave, whatever the port, also from its own pages over TLS', async () => {
    hosts = ['slipway.example', '[fd00::1]'];
    try {
      for (const host of ['slipway.example', 'Slipway.Example:8443', '[fd00::1]:80', `127.0.0.1:${port}`])
        expect([host, await get({ host })]).toEqual([host, 200]);
      for (const host of ['evil.slipway.example', 'slipway.example.evil', 'example', '[fd00::2]:80', '127.0.0.1:1'])
        expect([host, await get({ host })]).toEqual([host, 403]);
      const from = (origin: string) => get({ host: 'slipway.example', origin });
      expect(await from('https://slipway.example')).toBe(200);
      expect(await from('http://slipway.example')).toBe(200);
      expect(await from('https://evil.example')).toBe(403);
      expect(await from(`http://127.0.0.1:${port}`)).toBe(403);
    } finally {
      hosts = [];
    }
    expect(await get({ host: 'slipway.example' })).toBe(403);
  });

  it('anybody, whether the API lives', async () => {
    const answer = await bench.api.inject({ url: '/v1/health', headers: { host: `127.0.0.1:${port}` } });
    expect(answer.json()).toEqual({ ok: true });
  });
});

describe('what is read', () => {
  const send = (type: string | undefined, payload: string) =>
    bench.api.inject(
      injected({
        method: 'PUT',
        url: `/v1/leases/${freshId()}`,
        payload,
        headers: type === undefined ? {} : { 'content-type': type },
      }),
    );

  it('only JSON, as JSON', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const answer = await send(type, '{"bundle":"hello"}');
      expect([type, answer.statusCode, answer.json<{ type: string }>().type]).toEqual([type, 415, 'InvalidRequest']);
    }
    const broken = await send('application/json', '{"bundle": hello}');
    expect(broken.statusCode).toBe(400);
    expect(broken.json()).toMatchObject({ type: 'InvalidRequest', hint: 'send one JSON object.' });
    expect((await send('application/json', '')).statusCode).toBe(400);
    expect((await send('application/json', '["a"]')).statusCode).toBe(400);
    expect((await send('application/json', '{"__proto__":{"a":1},"bundle":"hello"}')).statusCode).toBe(400);
    expect((await send('application/octet-stream', 'bytes')).statusCode).toBe(400);
  });

  it('no request of 10 MB: it is told to use a file', async () => {
    const answer = await send(
      'application/json',
      JSON.stringify({ bundle: 'hello', job: { command: ['x'.repeat(10_000_000)] } }),
    );
    expect(answer.statusCode).toBe(413);
    expect(answer.json()).toMatchObject({ type: 'InvalidRequest', hint: expect.stringContaining('file') as string });
  });

  it('a body of 100 MB is refused with an answer that its sender can read', async () => {
    const megabyte = Buffer.alloc(1_000_000, 'x');
    const answer = await exchange(
      `/v1/leases/${freshId()}`,
      { 'content-type': 'application/json', 'content-length': '100000000' },
      Array<Buffer>(100).fill(megabyte),
    );
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.text)).toMatchObject({ type: 'InvalidRequest' });
  });

  it('a path that is not there, and ids with illegal characters, get clear problems', async () => {
    const missing = await bench.api.inject(injected({ url: '/v1/nothing?secret=1' }));
    expect(missing.json()).toMatchObject({ type: 'NotFound', detail: 'There is no GET /v1/nothing.' });
    for (const id of ['UPPER', '-x', 'a%2Fb', 'ü', 'x'.repeat(64)]) {
      const answer = await bench.api.inject(injected({ url: `/v1/leases/${encodeURI(id)}` }));
      expect([id, answer.statusCode]).toEqual([id, 400]);
    }
  });
});

describe('bytes', () => {
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const octets = { 'content-type': 'application/octet-stream' };

  it('a blob is stored under its digest, once, and refused under another', async () => {
    const bytes = randomBytes(3_000_000);
    const url = `/v1/blobs/${sha256(bytes)}`;
    const head = (): Promise<number> =>
      bench.api.inject(injected({ method: 'HEAD', url })).then(({ statusCode }) => statusCode);
    expect(await head()).toBe(404);
    expect((await exchange(url, octets, [bytes])).status).toBe(201);
    expect(await head()).toBe(200);
    const asked = await bench.api.inject(injected({ method: 'HEAD', url }));
    expect(asked.headers['content-length']).toBe('3000000');
    expect((await exchange(url, octets, [bytes])).status).toBe(200);
    expect(Buffer.from(await bench.blobs.get(sha256(bytes))).equals(bytes)).toBe(true);
    const wrong = await exchange(`/v1/blobs/${'0'.repeat(64)}`, octets, [bytes]);
    expect([wrong.status, JSON.parse(wrong.text)]).toMatchObject([400, { type: 'InvalidRequest' }]);
    const large = await exchange(
      `/v1/blobs/${'1'.repeat(64)}`,
      octets,
      Array<Buffer>(40).fill(Buffer.alloc(1_000_000)),
    );
    expect([large.status, large.text.includes('5000000')]).toEqual([400, true]);
    expect((await exchange('/v1/blobs/xyz', octets, [bytes])).status).toBe(400);
    expect((await exchange(url, { 'content-type': 'application/json' }, [Buffer.from('{}')])).status).toBe(400);
  });

  it('a secret is sealed for one lease, within its bound, and never answered', async () => {
    const id = freshId();
    const url = `/v1/leases/${id}/secrets/API_TOKEN`;
    const answer = await exchange(url, octets, [Buffer.from('s3cret')]);
    expect(answer).toEqual({ status: 204, text: '' });
    expect(bench.sealed.get(`${id}/API_TOKEN`)).toBe('s3cret');
    const large = await exchange(url, octets, [Buffer.alloc(70_000)]);
    expect([large.status, large.text.includes('65536')]).toEqual([400, true]);
    expect((await exchange(`/v1/leases/${id}/secrets/a-b`, octets, [Buffer.from('x')])).status).toBe(400);
  });
});

it('the OpenAPI document names every route with its answers', async () => {
  const { paths } = (await bench.api.inject(injected({ url: '/v1/openapi.json' }))).json<{
    paths: Record<string, Record<string, { responses: object }>>;
  }>();
  expect(Object.keys(paths)).toEqual(
    expect.arrayContaining([
      '/v1/leases',
      '/v1/leases/{id}',
      '/v1/leases/{id}/extend',
      '/v1/leases/{id}/tasks/{task}/follow',
      '/v1/blobs/{sha256}',
      '/v1/machines/{id}',
      '/v1/sweep',
    ]),
  );
  expect(paths['/v1/leases/{id}']?.['put']?.responses).toHaveProperty('201');
});
