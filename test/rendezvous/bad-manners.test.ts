import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { nameOf, secretOf } from '../../src/rendezvous/identity.ts';
import { rendezvousTls } from '../../src/rendezvous/tls.ts';
import { guestOf, installationKey, openSurface, web } from './kit.ts';

const head = `POST /rendezvous/v1/machines/${nameOf(web)}/facts HTTP/1.1\r\nhost: home\r\n`;
const proven = `authorization: Bearer ${secretOf(installationKey, web)}\r\ncontent-type: text/plain\r\n`;

/** Says so much and then nothing. @returns what it is answered until its connection ends */
const saying = (port: number, text: string): Promise<string> =>
  new Promise((resolve) => {
    let said = '';
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => socket.write(text));
    socket.on('data', (chunk) => (said += String(chunk)));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(said));
  });

describe('the rendezvous', () => {
  it.each([
    ['nothing', ''],
    ['half of its headers', head],
    ['half of its body', `${head}${proven}content-length: 10\r\n\r\na=`],
  ])('cuts off who has said %s in time, and counts it once', async (_what, text) => {
    await using surface = await openSurface();
    Object.assign(surface.app.server, { headersTimeout: 300, requestTimeout: 600 });
    expect(await saying(surface.port, text)).toMatch(/^HTTP\/1.1 408 /);
    expect([surface.posts, surface.counted()]).toEqual([[], { slow: 1 }]);
    expect(surface.logged.filter(({ outcome }) => outcome === 'slow')).toMatchObject([{ source: '127.0.0.1' }]);
  });

  it.each([
    ['no HTTP', 'nonsense\r\n\r\n', 400, 'unreadable'],
    ['endless headers', `${head}a: ${'b'.repeat(5_000)}\r\n`, 413, 'oversize'],
  ])('ends the connection of who speaks %s', async (_what, text, status, outcome) => {
    await using surface = await openSurface();
    expect(await saying(surface.port, text)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect([surface.posts, surface.counted()]).toEqual([[], { [outcome]: 1 }]);
  });

  it('says nothing of who hangs up in the middle', async () => {
    await using surface = await openSurface();
    const socket = connect({ host: '127.0.0.1', port: surface.port, rejectUnauthorized: false });
    const heard = once(surface.app.server, 'request');
    socket.write(`${head}${proven}content-length: 10\r\n\r\na=`);
    const [request] = (await heard) as [IncomingMessage];
    const closed = new Promise((resolve) => request.on('error', () => undefined).on('close', resolve));
    socket.destroy();
    await closed;
    expect(await saying(surface.port, 'nonsense\r\n\r\n')).toMatch(/ 400 /);
    expect([surface.posts, surface.counted()]).toEqual([[], { unreadable: 1 }]);
  });

  it('counts who finds no place at all', async () => {
    await using surface = await openSurface();
    surface.app.server.maxConnections = 1;
    const first = connect({ host: '127.0.0.1', port: surface.port, rejectUnauthorized: false });
    await once(first, 'secureConnect');
    expect(await saying(surface.port, head)).toBe('');
    expect(surface.counted()).toEqual({ throttled: 1 });
    first.destroy();
  });
});

describe.each(['curl', 'python3'] as const)('a guest that calls home by %s', (by) => {
  it('tells no more facts than there is room for, and says so itself', async () => {
    await using surface = await openSurface();
    const guest = await guestOf({ port: surface.port, by });
    const { code, said } = await guest.run(['facts'], `a=${'b'.repeat(70_000)}\n`);
    expect([code, said]).toEqual([
      1,
      expect.stringMatching(/^check-in: facts of 7\d{4} bytes are too long: 65536 is the most\n$/),
    ]);
    expect(surface.counted()).toEqual({});
  });

  it.each([
    ['years ahead', '700101000000Z', '19800101000000Z'],
    ['years behind', '491231235959Z', '99991231235959Z'],
  ])('is heard with a clock that is %s', async (_how, from, to) => {
    // To a clock that is off, the certificate of today is one that has ended or that has not begun.
    const { key, cert } = rendezvousTls(installationKey);
    const der = Buffer.from(cert.replace(/-----[A-Z ]+-----/g, ''), 'base64').toString('latin1');
    const other = der.replace('700101000000Z', from).replace('99991231235959Z', to);
    const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(other, 'latin1').toString('base64')}\n-----END CERTIFICATE-----\n`;
    const server = createServer(
      { key, cert: pem },
      (request, reply) => void request.resume().on('end', () => reply.end()),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const guest = await guestOf({ port: (server.address() as AddressInfo).port, by });
    expect(await guest.run(['result', '0'])).toEqual({ code: 0, said: '' });
    server.close();
  });
});
