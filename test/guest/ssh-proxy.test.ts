import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startSshProxy, type SshProxy } from '../support/ssh-proxy.ts';
import { until } from '../support/until.ts';

let proxy: SshProxy;
let far: Server;
/** What the guest's side has heard. */
let heard: string;
beforeEach(async () => {
  heard = '';
  far = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      heard += bytes.toString();
      socket.write(bytes);
    });
  });
  await new Promise<void>((resolve) => far.listen(0, '127.0.0.1', resolve));
  const { port } = far.address() as AddressInfo;
  proxy = await startSshProxy({ host: '0.0.0.0', to: () => ({ host: '127.0.0.1', port }) });
});
afterEach(async () => {
  await proxy.close();
  await new Promise((resolve) => far.close(resolve));
});

interface Near {
  readonly socket: Socket;
  readonly got: () => string;
  /** `end`, or the code of what broke it off. */
  readonly ended: Promise<string>;
}
async function call(address = '127.0.0.1'): Promise<Near> {
  const socket = connect(proxy.port, address);
  let text = '';
  let failed: string | undefined;
  socket.on('data', (bytes) => (text += bytes.toString()));
  socket.on('error', (error: NodeJS.ErrnoException) => (failed = error.code ?? ''));
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(failed ?? 'end')));
  await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), ended]);
  return { socket, got: () => text, ended };
}
const said = (near: Near, text: string): Promise<void> => until(`the answer ${text}`, () => near.got() === text);

describe('the wire', () => {
  it('passes bytes both ways as they are', async () => {
    const near = await call();
    near.socket.write('hello');
    await said(near, 'hello');
    near.socket.end();
    expect(await near.ended).toBe('end');
    await until('nobody is connected', () => proxy.connections() === 0);
  });

  it('is cut at a byte, in either direction, once', async () => {
    proxy.arm({ fault: 'cut', toward: 'worker', afterBytes: 3 });
    const near = await call();
    near.socket.write('hello');
    expect([await near.ended, near.got()]).toEqual(['end', 'hel']);
    proxy.arm({ fault: 'cut', toward: 'guest', afterBytes: 2 });
    const second = await call();
    heard = '';
    second.socket.write('world');
    await second.ended;
    await until('two bytes have come', () => heard === 'wo');
    const third = await call();
    third.socket.write('again');
    await said(third, 'again');
    expect(proxy.struck()).toMatchObject({ cut: 2, reset: 0 });
  });

  it('counts from when it was armed', async () => {
    const near = await call();
    near.socket.write('12345');
    await said(near, '12345');
    proxy.arm({ fault: 'reset', toward: 'worker', afterBytes: 2 });
    near.socket.write('67890');
    await near.ended;
    // A reset may overtake what was sent before it.
    expect('1234567'.startsWith(near.got())).toBe(true);
    expect(proxy.struck().reset).toBe(1);
  });

  it('falls silent without a word', async () => {
    proxy.arm({ fault: 'stall', toward: 'worker', afterBytes: 0 });
    const near = await call();
    near.socket.write('hello');
    await until('it is struck', () => proxy.struck().stall === 1);
    const other = await call();
    other.socket.write('hi');
    await said(other, 'hi');
    expect([near.got(), near.socket.destroyed]).toEqual(['', false]);
    near.socket.destroy();
    await until('one is left', () => proxy.connections() === 1);
  });

  it('is bad for one address, and good for the others', async () => {
    proxy.arm({ fault: 'refuse' }, '127.77.1.1');
    const refused = await call('127.77.1.1');
    await refused.ended;
    expect([refused.got(), proxy.struck().refuse]).toEqual(['', 1]);
    const near = await call('127.77.1.2');
    near.socket.write('hello');
    await said(near, 'hello');
    expect([proxy.connections('127.77.1.2'), proxy.reset('127.77.1.3')]).toEqual([1, 0]);
    proxy.clear('127.77.1.1');
    const again = await call('127.77.1.1');
    again.socket.write('hello');
    await said(again, 'hello');
  });

  it('has nobody at its port for a time, while what is open goes on', async () => {
    const near = await call();
    await proxy.refuseAll();
    expect(await (await call()).ended).toBe('ECONNREFUSED');
    near.socket.write('hello');
    await said(near, 'hello');
    await proxy.acceptAgain();
    const again = await call();
    again.socket.write('hello');
    await said(again, 'hello');
  });
});
