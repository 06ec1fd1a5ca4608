import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { freshId, startApiBench, type ApiBench } from './api-bench.ts';

let bench: ApiBench;
let lease: string;
const ask = async (method: string, path: string, body?: unknown) => {
  const answer = await bench.ask(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await answer.text();
  return { status: answer.status, body: (text === '' ? undefined : JSON.parse(text)) as Record<string, unknown> };
};
beforeAll(async () => {
  bench = await startApiBench();
  lease = freshId();
  await ask('PUT', `/v1/leases/${lease}`, { bundle: 'hello' });
  await ask('GET', `/v1/leases/${lease}?wait=ready`);
});
afterAll(() => bench.stop());

describe('a file', () => {
  it('is put once by one id, and the id with another order is refused', async () => {
    const blob = await bench.blobs.put(Buffer.from('bytes'));
    const order = { put: { blob, path: '/etc/x', mode: '0640', owner: 'root' } };
    const moved = {
      leaseId: lease,
      fileId: 'a',
      state: 'moved',
      result: { path: '/etc/x', sha256: blob, tree: false },
    };
    expect(await ask('PUT', `/v1/leases/${lease}/files/a`, order)).toMatchObject({ status: 200, body: moved });
    expect(await ask('PUT', `/v1/leases/${lease}/files/a`, order)).toMatchObject({ status: 200, body: moved });
    const other = { put: { ...order.put, path: '/etc/y' } };
    expect(await ask('PUT', `/v1/leases/${lease}/files/a`, other)).toMatchObject({ status: 409 });
    expect(bench.world.count('moveFile')).toBe(1);
  });

  it('is fetched into our store, and read from there by range', async () => {
    const part = await bench.fetched.part('x');
    await part.write(0, Buffer.from('0123456789'));
    const sha256 = await part.digest(10);
    await part.keep(sha256, 10);
    await part.close();
    bench.world.files.set('/var/log/x', { path: '/var/log/x', bytes: 10, sha256, tree: false });
    const got = await ask('PUT', `/v1/leases/${lease}/files/b`, { get: { path: '/var/log/x' } });
    expect(got).toMatchObject({ status: 200, body: { result: { bytes: 10, mode: '644' } } });
    const range = await bench.ask(`/v1/files/${sha256}`, { headers: { range: 'bytes=2-4' } });
    expect([range.status, await range.text()]).toEqual([206, '234']);
    expect(await (await bench.ask(`/v1/files/${sha256}`)).text()).toBe('0123456789');
    expect((await bench.ask(`/v1/files/${'0'.repeat(64)}`)).status).toBe(404);
  });

  it('that a lease collected is served when its machine is gone, and of the rest it is said why not', async () => {
    const kept = { path: '~/report', bytes: 3, sha256: 'a'.repeat(64), tree: false };
    bench.world.files.set('~/report', kept);
    const id = freshId();
    const job = { command: ['true'] };
    await ask('PUT', `/v1/leases/${id}`, { bundle: 'hello', job, collect: ['~/report', '~/none'] });
    const ended = await ask('GET', `/v1/leases/${id}?wait=ended`);
    expect(ended.body['collected']).toMatchObject([kept, { path: '~/none', reason: { type: 'NotFound' } }]);
    const get = (path: string) => ask('PUT', `/v1/leases/${id}/files/f`, { get: { path } });
    expect(await get('~/report')).toMatchObject({ status: 200, body: { state: 'moved', result: kept } });
    expect(await get('~/none')).toMatchObject({
      status: 404,
      body: { detail: `Lease ${id} could not collect this: there is no ~/none` },
    });
    expect(await get('/etc/motd')).toMatchObject({
      status: 410,
      body: {
        detail: `Lease ${id} is released, and /etc/motd is not among what it collected.`,
        hint: expect.stringContaining('~/report, ~/none') as string,
      },
    });
  });

  it('that was moved before its lease ended stays what it was under its id', async () => {
    bench.world.files.set('~/twice', { path: '~/twice', bytes: 1, sha256: 'b'.repeat(64), tree: false });
    const id = freshId();
    await ask('PUT', `/v1/leases/${id}`, { bundle: 'hello', collect: ['~/twice'] });
    await ask('GET', `/v1/leases/${id}?wait=ready`);
    const get = (file: string) => ask('PUT', `/v1/leases/${id}/files/${file}`, { get: { path: '~/twice' } });
    expect(await get('early')).toMatchObject({ body: { result: { sha256: 'b'.repeat(64) } } });
    bench.world.files.set('~/twice', { path: '~/twice', bytes: 1, sha256: 'c'.repeat(64), tree: false });
    await ask('POST', `/v1/leases/${id}/release`);
    await ask('GET', `/v1/leases/${id}?wait=ended`);
    expect(await get('early')).toMatchObject({ body: { result: { sha256: 'b'.repeat(64) } } });
    expect(await get('late')).toMatchObject({ body: { result: { sha256: 'c'.repeat(64) } } });
  });

  it('fails as the guest says, and names every mistake of its order', async () => {
    expect(await ask('PUT', `/v1/leases/${lease}/files/c`, { get: { path: '/nowhere' } })).toMatchObject({
      status: 404,
      body: { type: 'NotFound', detail: 'there is no /nowhere' },
    });
    const put = { blob: 'f'.repeat(64), path: '/x' };
    expect(await ask('PUT', `/v1/leases/${lease}/files/d`, { put })).toMatchObject({ status: 400 });
    expect(await ask('PUT', `/v1/leases/${lease}/files/d`, { put: { ...put, mode: '9', owner: 'A B' } })).toMatchObject(
      {
        status: 400,
      },
    );
    expect(await ask('PUT', '/v1/leases/nope/files/d', { get: { path: '/x' } })).toMatchObject({ status: 404 });
  });

  it('on its way can be given up', async () => {
    bench.world.hold('moveFile');
    const moving = ask('PUT', `/v1/leases/${lease}/files/e`, { get: { path: '/x' } });
    await bench.world.isHeld('moveFile');
    expect((await ask('DELETE', `/v1/leases/${lease}/files/e`)).status).toBe(204);
    expect((await moving).status).toBeGreaterThanOrEqual(400);
    bench.world.letGo('moveFile');
    expect((await ask('DELETE', `/v1/leases/${lease}/files/e`)).status).toBe(204);
    expect((await ask('DELETE', `/v1/leases/${lease}/files/never`)).status).toBe(404);
  });
});

describe('a key', () => {
  const publicKey = `ssh-ed25519 ${'A'.repeat(68)} me`;

  it('is let in until it is taken out', async () => {
    const { status, body } = await ask('POST', `/v1/leases/${lease}/keys`, { publicKey, forMs: 600_000 });
    expect(status).toBe(201);
    expect(Date.parse(String(body['until']))).toBeGreaterThan(Date.now());
    expect([...bench.world.keys]).toEqual([publicKey]);
    expect((await ask('DELETE', `/v1/leases/${lease}/keys/${String(body['keyId'])}`)).status).toBe(204);
    await until('it is out', async () => bench.world.keys.size === 0);
    expect((await ask('DELETE', `/v1/leases/${lease}/keys/${String(body['keyId'])}`)).status).toBe(204);
  });

  it('is taken out by itself when its time is over', async () => {
    await ask('POST', `/v1/leases/${lease}/keys`, { publicKey, forMs: 1_000 });
    await until('it is out', async () => bench.world.keys.size === 0);
  });

  it('is refused for a lease that there is not, and when it is none', async () => {
    expect((await ask('POST', '/v1/leases/nope/keys', { publicKey })).status).toBe(404);
    const options = `command="id" ${publicKey}`;
    expect((await ask('POST', `/v1/leases/${lease}/keys`, { publicKey: options })).status).toBe(400);
  });

  it('is refused at once while the machine is switched off, and let in when it is on again', async () => {
    const machine = `${lease}.1`;
    await ask('POST', `/v1/machines/${machine}/power`, { action: 'off' });
    expect(await ask('POST', `/v1/leases/${lease}/keys`, { publicKey })).toMatchObject({
      status: 400,
      body: {
        detail: `Machine ${machine} of lease ${lease} is switched off.`,
        hint: `slipway machine power ${machine} on`,
      },
    });
    await ask('POST', `/v1/machines/${machine}/power`, { action: 'on' });
    const { status, body } = await ask('POST', `/v1/leases/${lease}/keys`, { publicKey });
    expect(status).toBe(201);
    await ask('DELETE', `/v1/leases/${lease}/keys/${String(body['keyId'])}`);
    await until('it is out', async () => bench.world.keys.size === 0);
  });

  it('that a machine does not let in is told so in twenty seconds, with how its provider sees it, and comes out again', async () => {
    const out = bench.world.count('takeKeyOut');
    bench.world.hold('letKeyIn');
    bench.provider.state = 'stopped';
    try {
      expect(await ask('POST', `/v1/leases/${lease}/keys`, { publicKey })).toMatchObject({
        status: 503,
        body: {
          type: 'GuestUnreachable',
          detail: `Machine ${lease}.1 of lease ${lease} did not let a key in within 20 s; fake says that it is stopped.`,
          hint: `slipway machine show ${lease}.1`,
        },
      });
    } finally {
      bench.provider.state = 'running';
      bench.world.letGo('letKeyIn');
    }
    await until('it is out', async () => bench.world.count('takeKeyOut') > out && bench.world.keys.size === 0);
  }, 60_000);

  it('that cannot be let in is told why', async () => {
    bench.world.faults = [{ activity: 'letKeyIn', side: 'before', type: 'CustomizeFailed' }];
    expect(await ask('POST', `/v1/leases/${lease}/keys`, { publicKey })).toMatchObject({
      status: 502,
      body: { type: 'CustomizeFailed' },
    });
  });
});
