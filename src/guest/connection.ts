import { createConnection, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { DomainError } from '../domain/failure.ts';
import { abortable } from './abortable.ts';
import { connectFailure, type HostKeySeen } from './connect-failure.ts';
import type { GuestAddress } from './guest.ts';

/** One command on a guest. stdout and stderr must both be read, or `done` never comes. */
export interface Execution {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit code; undefined = **unknown** (the connection dropped, or a signal), never success. */
  readonly done: Promise<number | undefined>;
  /** Drops what is unread (or the channel would never close) and closes; what runs on the guest is not killed by it. */
  dismiss(): void;
}

/** The guest's sshd opens no further session on this connection now (`MaxSessions`, by default 10). */
const noRoom = (machine: string, cause: unknown): DomainError =>
  new DomainError('GuestUnreachable', `Machine ${machine} opens no further session on a connection`, {
    cause,
    details: { code: 'noRoom' },
    hint: 'Raise MaxSessions in its sshd_config, or run fewer tasks at a time on it.',
  });
export const isNoRoom = (error: unknown): boolean =>
  error instanceof DomainError && error.details?.['code'] === 'noRoom';

/** A logged-in SSH connection to a guest whose host key is the pinned one. */
export interface Connection {
  exec(line: string): Promise<Execution>;
  readonly isOpen: () => boolean;
  /** Resolves once, when the connection is gone for any reason. */
  readonly closed: Promise<void>;
  close(): void;
}

/** A dead peer is noticed after three of them. (ssh2 sends none by default.) */
const keepaliveCountMax = 3;

/** For a caller whose signal is patient: what accepts a connection and then says nothing is not there. */
const handshakeMaxMs = 30_000;

/** Only algorithms of the pinned type are offered, or a server with several keys would show another one than the pin. */
const hostKeyAlgorithms: Readonly<Record<string, readonly string[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};

/**
 * Connects, proves the host key and logs in.
 * @param clientKey OpenSSH private key (PEM)
 * @param keepaliveMs how often the guest is asked whether it is there
 * @param signal bounds the whole way; aborting rejects with its reason
 * @throws DomainError GuestUnreachable (retryable), SshAuthRefused, HostKeyMismatch
 */
export async function connect(
  address: GuestAddress,
  clientKey: string,
  keepaliveMs: number,
  signal: AbortSignal,
): Promise<Connection> {
  const [type = '', blob = ''] = address.hostKey.trim().split(/\s+/);
  const algorithms = hostKeyAlgorithms[type];
  if (!algorithms) {
    throw new DomainError(
      'InvalidRequest',
      `The pinned host key of ${address.name} has the unknown type ${JSON.stringify(type)}`,
    );
  }
  const seen: HostKeySeen = { pinned: Buffer.from(blob, 'base64'), stranger: undefined };
  const [, nextBlob] = address.nextHostKey?.trim().split(/\s+/) ?? [];
  const accepted = nextBlob === undefined ? [seen.pinned] : [seen.pinned, Buffer.from(nextBlob, 'base64')];
  const socket = await openSocket(address, signal);
  const client = new Client();
  const config: ConnectConfig = {
    sock: socket,
    username: address.user,
    privateKey: clientKey,
    authHandler: ['publickey'],
    algorithms: {
      serverHostKey: [...algorithms] as never,
      // GCM is done by OpenSSL's assembler without ssh2's optional native addon; the rest are for old servers.
      cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes256-ctr', 'aes128-ctr'],
    },
    hostVerifier: (key: Buffer) => {
      const known = accepted.some((each) => each.equals(key));
      seen.stranger = known ? undefined : key;
      return known;
    },
    keepaliveInterval: keepaliveMs,
    keepaliveCountMax,
    readyTimeout: handshakeMaxMs,
  };
  let open = false;
  const closed = new Promise<void>((resolve) => {
    client.once('close', () => {
      open = false;
      resolve();
    });
  });
  const ready = new Promise<void>((resolve, reject) => {
    client.once('ready', () => {
      open = true;
      resolve();
    });
    // Stays for the connection's life: a later error has its `close`, which says all that anybody acts on.
    client.on('error', (error) => reject(connectFailure(address, error, seen)));
    client.once('close', () => reject(connectFailure(address, undefined, seen)));
  });
  ready.catch(() => undefined);
  try {
    client.connect(config);
    await abortable(ready, signal);
  } catch (error) {
    client.destroy();
    socket.destroy();
    throw error;
  }
  return {
    exec: (line) => execute(client, address, line, closed),
    isOpen: () => open,
    closed,
    close: () => {
      open = false;
      client.end();
      // A peer that is gone answers no FIN.
      setTimeout(() => client.destroy(), 1_000).unref();
    },
  };
}

/** setNoDelay before the handshake: it takes connecting from 124 to 43 ms, and an exec from 44 to 2 ms. */
async function openSocket(address: GuestAddress, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = createConnection({ host: address.address, port: address.port, noDelay: true });
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => reject(connectFailure(address, error, undefined)));
    socket.setTimeout(handshakeMaxMs, () => reject(connectFailure(address, new Error('Timed out'), undefined)));
  });
  try {
    await abortable(connected, signal);
    socket.setTimeout(0);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function execute(client: Client, address: GuestAddress, line: string, closed: Promise<void>): Promise<Execution> {
  return new Promise((resolve, reject) => {
    const lost = (cause?: unknown): void =>
      reject(
        new DomainError('GuestUnreachable', `The connection to ${address.name} dropped before a command began`, {
          cause,
        }),
      );
    void closed.then(lost);
    try {
      client.exec(line, (error, channel) => {
        // Listened to at once: the answer of a quick command may lie in the same packet as the go-ahead.
        if (error === undefined) resolve(execution(channel, closed));
        else if ('reason' in error) reject(noRoom(address.name, error));
        else lost(error);
      });
    } catch (error) {
      lost(error);
    }
  });
}

function execution(channel: ClientChannel, closed: Promise<void>): Execution {
  let code: number | undefined;
  channel.on('exit', (exit: number | null) => {
    code = exit ?? undefined;
  });
  // Writing to a channel that the guest has closed is no failure of its own: the answer says what happened.
  channel.on('error', () => undefined);
  const done = new Promise<number | undefined>((resolve) => {
    channel.once('close', () => resolve(code));
    void closed.then(() => resolve(code));
  });
  const dismiss = (): void => {
    channel.stdout.resume();
    channel.stderr.resume();
    channel.close();
  };
  return { stdin: channel.stdin, stdout: channel.stdout, stderr: channel.stderr, done, dismiss };
}
