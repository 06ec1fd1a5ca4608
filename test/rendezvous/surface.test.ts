import { Agent, request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket as Socket } from 'node:tls';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { GuestPost } from '../../src/domain/guest-post.ts';
import { providerKey } from '../../src/domain/ids.ts';
import { nameOf, secretOf } from '../../src/rendezvous/identity.ts';
import { rendezvousTls } from '../../src/rendezvous/tls.ts';
import { until } from '../support/until.ts';
import { guestOf, installationKey, openSurface, web } from './kit.ts';

const key = providerKey(web.machineId, web.birth);
const from = { key, generation: 1, source: '127.0.0.1' };
const bearer = `Bearer ${secretOf(installationKey, web)}`;
const at = `/rendezvous/v1/machines/${nameOf(web)}`;

interface Ask {
  readonly port: number;
  readonly path: string;
  readonly authorization?: string;
  readonly body?: string;
}
/** A client of its own manners; that it knows the pinned key is the script's affair. */
const ask = ({ port, path, authorization = bearer, body = '' }: Ask): Promise<number> =>
  new Promise((resolve, reject) => {
    const headers = { authorization, 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) };
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, rejectUnauthorized: false });
    sent.on('response', (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end(body);
  });

describe.each(['curl', 'python3'] as const)('a guest that calls home by %s', (by) => {
  it('posts its facts and keys, and how its last stage ended, in its own words', async () => {
    await using surface = await openSurface();
    const guest = await guestOf({ port: surface.port, by });
    expect(await guest.run(['facts'], 'role=web\nnote=a=b ü\n')).toEqual({ code: 0, said: '' });
    expect(await guest.run(['result', '7'], "no licence\nit's gone\n")).toEqual({ code: 0, said: '' });
    const [first, second] = surface.posts;
    expect(first).toMatchObject({ who: web, post: { ...from, facts: { role: 'web', note: 'a=b ü' } } });
    expect(second).toEqual({ who: web, post: { ...from, result: 7, message: "no licence\nit's gone" } });
    expect(surface.counted()).toEqual({ taken: 2 });
  });

  it('fetches what would not fit, and runs it', async () => {
    await using surface = await openSurface();
    const guest = await guestOf({ port: surface.port, by });
    expect(await guest.run(['last-stage'])).toEqual({ code: 0, said: '' });
    expect(await readFile(join(guest.folder, 'ran'), 'utf8')).toBe('the last stage ran\n');
    expect(surface.counted()).toEqual({ taken: 1 });
  });

  it('says it again when it was too early, and is heard', async () => {
    const asked: GuestPost[] = [];
    await using surface = await openSurface((post) => (asked.push(post) % 2 === 1 ? 'early' : 'taken'));
    const guest = await guestOf({ port: surface.port, by });
    expect(await guest.run(['result', '0'])).toEqual({ code: 0, said: '' });
    expect(await guest.run(['last-stage'])).toEqual({ code: 0, said: '' });
    expect(surface.counted()).toEqual({ early: 2, taken: 2 });
  });

  it('tells nothing to who has another key than the pinned one', async () => {
    await using surface = await openSurface();
    const pin = rendezvousTls(new Uint8Array(32).fill(8)).pin;
    const guest = await guestOf({ port: surface.port, by, pin });
    const { code, said } = await guest.run(['result', '0']);
    expect(code).toBe(1);
    expect(said).toContain('answers with another key than the pinned one: it was told nothing');
    expect([surface.posts, surface.counted()]).toEqual([[], {}]);
  });

  it('tries each of its addresses in turn', async () => {
    await using surface = await openSurface();
    const guest = await guestOf({ port: surface.port, by, places: `127.0.0.1:1,127.0.0.1:${surface.port}` });
    expect((await guest.run(['result', '0'])).code).toBe(0);
    expect(surface.posts).toHaveLength(1);
  });

  it('tries again while it cannot be heard, and gives up at a refusal', async () => {
    const surface = await openSurface();
    const { port } = surface;
    await surface.app.close();
    const lost = await (await guestOf({ port, by })).run(['result', '0']);
    expect([lost.code, lost.said]).toEqual([1, expect.stringContaining(`nobody has answered at 127.0.0.1:${port}`)]);
    await using open = await openSurface(() => 'late');
    const late = await (await guestOf({ port: open.port, by })).run(['result', '0']);
    expect([late.code, late.said]).toEqual([1, expect.stringContaining('refuses (410): late')]);
  });
});

describe('the rendezvous', () => {
  it('hears no machine that does not prove to be itself, in this life and generation', async () => {
    await using surface = await openSurface();
    const others = [
      { ...web, machineId: 'web.2' },
      { ...web, birth: 'another' },
      { ...web, generation: 2 },
    ];
    for (const other of others) {
      const authorization = `Bearer ${secretOf(installationKey, other)}`;
      expect(await ask({ port: surface.port, path: `${at}/ready?result=0`, authorization })).toBe(403);
    }
    expect(await ask({ port: surface.port, path: `${at}/ready?result=0`, authorization: 'Bearer x' })).toBe(403);
    expect(await ask({ port: surface.port, path: '/rendezvous/v1/machines/nonsense/ready?result=0' })).toBe(403);
    expect(await ask({ port: surface.port, path: '/anything' })).toBe(403);
    expect([surface.posts, surface.counted()]).toEqual([[], { forged: 6 }]);
    expect(surface.logged.filter((line) => line['security'] === true)).toHaveLength(6);
    expect(JSON.stringify(surface.logged)).not.toContain(secretOf(installationKey, web));
  });

  it('says to a duplicate what it has said before, and to anything else that changes nothing why', async () => {
    for (const [verdict, status, level, security] of [
      ['duplicate', 200, 'debug'],
      ['early', 503, 'info'],
      ['replayed', 410, 'warn', true],
      ['late', 410, 'info'],
      ['contradicts', 409, 'warn'],
      ['moved', 403, 'warn', true],
      ['tooMany', 409, 'warn'],
    ] as const) {
      await using surface = await openSurface(() => verdict);
      expect(await ask({ port: surface.port, path: `${at}/ready?result=0` })).toBe(status);
      expect(surface.counted()).toEqual({ [verdict]: 1 });
      const lines = surface.logged.filter(({ outcome }) => outcome === verdict);
      expect(lines.map((line) => [line['level'], line['security']])).toEqual([[pino.levels.values[level], security]]);
    }
  });

  it('reads no more than it has room for', async () => {
    await using surface = await openSurface();
    const before = process.memoryUsage().rss;
    const tooLarge = async (headers: Record<string, string>): Promise<unknown> =>
      new Promise((resolve) => {
        const path = `${at}/facts`;
        const options = { host: '127.0.0.1', port: surface.port, path, method: 'POST', rejectUnauthorized: false };
        const sent = request({
          ...options,
          headers: { authorization: bearer, 'content-type': 'text/plain', ...headers },
        });
        sent.on('response', (answer) => resolve(answer.statusCode));
        // What is sent beyond may be cut off while the answer is on its way.
        sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
        const chunk = Buffer.alloc(1024 * 1024, 'a');
        let left = 100;
        const more = (): void => {
          while (left > 0 && !sent.destroyed) {
            left -= 1;
            if (!sent.write(chunk)) return void sent.once('drain', more);
          }
          sent.end();
        };
        more();
      });
    expect([413, 'EPIPE', 'ECONNRESET']).toContain(await tooLarge({ 'content-length': String(100 * 1024 * 1024) }));
    expect([413, 'EPIPE', 'ECONNRESET']).toContain(await tooLarge({}));
    expect(await ask({ port: surface.port, path: `${at}/facts`, body: 'a=b' })).toBe(200);
    expect(surface.counted()).toEqual({ oversize: 2, taken: 1 });
    expect(process.memoryUsage().rss - before).toBeLessThan(60 * 1024 * 1024);
  });

  it.each(['nonsense', '=a', 'hostKey=nonsense', 'a b=c'])('takes %j for no facts', async (body) => {
    await using surface = await openSurface();
    expect(await ask({ port: surface.port, path: `${at}/facts`, body })).toBe(400);
    expect([surface.posts, surface.counted()]).toEqual([[], { unreadable: 1 }]);
  });

  it.each(['', '?result=x', '?result=-1', '?result=1000', '?result=0&result=1'])(
    'takes %j for no result',
    async (query) => {
      await using surface = await openSurface();
      expect(await ask({ port: surface.port, path: `${at}/ready${query}` })).toBe(400);
      expect(surface.posts).toEqual([]);
    },
  );

  it('has enough of a guest that asks too often, and of strangers, and hears the others', async () => {
    await using surface = await openSurface();
    const { port } = surface;
    const asked = await Promise.all(Array.from({ length: 40 }, () => ask({ port, path: `${at}/ready?result=0` })));
    expect(asked.filter((status) => status === 429).length).toBeGreaterThanOrEqual(10);
    const strangers = await Promise.all(
      Array.from({ length: 90 }, () => ask({ port, path: `${at}/ready`, authorization: '' })),
    );
    expect(strangers.filter((status) => status === 429).length).toBeGreaterThanOrEqual(10);
    const other = { ...web, machineId: 'web.2' };
    const authorization = `Bearer ${secretOf(installationKey, other)}`;
    const path = `/rendezvous/v1/machines/${nameOf(other)}/ready?result=0`;
    expect(await ask({ port, path, authorization })).toBe(200);
  });

  it('keeps the connection of none that it refuses', async () => {
    await using surface = await openSurface();
    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    const kept = (authorization: string): Promise<string | undefined> =>
      new Promise((resolve, reject) => {
        const path = `${at}/ready?result=0`;
        const headers = { authorization };
        const sent = request({ host: '127.0.0.1', port: surface.port, path, method: 'POST', headers, agent });
        sent.on('response', (answer) => resolve(answer.resume().headers.connection));
        sent.on('error', reject);
        sent.end();
      });
    expect(await kept(bearer)).toBe('keep-alive');
    for (let n = 0; n < 70; n += 1) expect(await kept('Bearer x')).toBe('close');
    agent.destroy();
    const { forged = 0, throttled = 0 } = surface.counted();
    expect([forged + throttled, throttled > 0]).toEqual([70, true]);
    // One line tells of all that were throttled within a minute.
    expect(surface.logged.filter(({ outcome }) => outcome === 'throttled')).toHaveLength(1);
  });

  it('leaves to others their share of its connections', async () => {
    await using surface = await openSurface();
    const { port } = surface;
    const sockets: Socket[] = [];
    const open = (localAddress: string): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = connect(
          { socket: connectTcp({ host: '127.0.0.1', port, localAddress }), rejectUnauthorized: false },
          () => resolve(true),
        );
        socket.on('error', () => resolve(false));
        sockets.push(socket);
      });
    const first = await Promise.all(Array.from({ length: 128 }, () => open('127.0.0.2')));
    expect(first.every(Boolean)).toBe(true);
    expect([await open('127.0.0.2'), await open('127.0.0.3')]).toEqual([false, true]);
    expect(surface.counted()).toEqual({ throttled: 1 });
    for (const socket of sockets) socket.destroy();
    await until('its connections are given up', () => open('127.0.0.2'));
    for (const socket of sockets) socket.destroy();
  });

  it('cuts off who says nothing for long', async () => {
    await using surface = await openSurface();
    // The time itself is Node's to keep: what matters is that it is not without end.
    expect(surface.app.server).toMatchObject({
      headersTimeout: 10_000,
      requestTimeout: 20_000,
      timeout: 30_000,
      maxConnections: 512,
    });
  });

  it('serves one key in every process of an installation, and another in every other', async () => {
    await using surface = await openSurface();
    const seen = await new Promise<Buffer>((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: surface.port, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate()?.raw ?? Buffer.alloc(0));
        socket.end();
      });
      socket.on('error', reject);
    });
    expect(seen.length).toBeGreaterThan(200);
    const { pin } = rendezvousTls(installationKey);
    expect(pin).toMatch(/^sha256\/\/[A-Za-z0-9+/]{43}=$/);
    expect(rendezvousTls(installationKey).pin).toBe(pin);
    expect(rendezvousTls(new Uint8Array(32).fill(9)).pin).not.toBe(pin);
  });
});
