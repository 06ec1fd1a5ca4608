import { connect } from 'node:net';
import type { ServerChannel, TcpipRequestInfo } from 'ssh2';

/** `ssh -L` and `-W`: a machine shares the host's network, so what it can reach can be reached from here. */
export function forward(accept: () => ServerChannel, reject: () => void, info: TcpipRequestInfo): void {
  const socket = connect({ host: info.destIP, port: info.destPort, noDelay: true });
  socket.once('error', reject);
  socket.once('connect', () => {
    socket.removeListener('error', reject);
    const channel = accept();
    socket.on('error', () => channel.close());
    channel.on('error', () => socket.destroy());
    channel.once('close', () => socket.destroy());
    channel.pipe(socket).pipe(channel);
  });
}
