import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import ssh2, {
  type Algorithms,
  type AuthContext,
  type Connection,
  type ParsedKey,
  type PublicKeyAuthContext,
} from 'ssh2';
import { opensshKeyPair } from '../../guest/openssh-key.ts';
import type { GateKeeper } from './gates.ts';
import type { Knobs } from './knobs.ts';
import type { MachineRecord } from './record.ts';
import { forward } from './ssh-forward.ts';
import { serveSession } from './ssh-session.ts';
import type { Account, Tier } from './tier.ts';

const { Server, utils } = ssh2;

/** AES-GCM runs in OpenSSL; chacha20 would run in WebAssembly, at a third of the rate. */
const algorithms: Algorithms = {
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes256-ctr'],
};
/** As sshd's MaxAuthTries, and room for an agent's keys. */
const mostTries = 12;
const keepaliveMs = 15_000;

export interface SshService {
  /** Ends all connections: the machine has restarted or is gone. */
  drop(): void;
  close(): Promise<void>;
}

export interface SshServiceOptions {
  readonly record: MachineRecord;
  readonly tier: Tier;
  readonly knobs: () => Knobs;
  readonly gates: GateKeeper;
  readonly isUp: () => boolean;
  readonly logger: Logger;
}

/** The SSH server of one machine, on its address. @throws Error EADDRINUSE when another has the address */
export async function startSshService(options: SshServiceOptions): Promise<SshService> {
  const { record, knobs, gates, logger } = options;
  const sockets = new Set<Socket>();
  const serve = (connection: Connection, ip: string, port: number): void => {
    serveConnection(connection, options, counted, { ip, port });
  };
  const counted = { refused: 0 };
  const served = server(record.spec.hostKey, serve);
  let stranger: ReturnType<typeof server> | undefined;

  const take = async (socket: Socket): Promise<void> => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    const now = knobs();
    if (now.neverAnswer === true) {
      socket.resume();
      return;
    }
    await heldLogin(socket, gates, record);
    if (socket.destroyed) return;
    if (!options.isUp()) {
      socket.destroy();
      return;
    }
    if (now.wrongHostKey === true) stranger ??= server(opensshKeyPair(randomBytes(32), '').privateKey, serve);
    (now.wrongHostKey === true && stranger ? stranger : served).injectSocket(socket);
    socket.resume();
  };
  const listener = createServer({ noDelay: true }, (socket) => {
    void take(socket).catch((error: unknown) => {
      logger.warn({ error, machine: record.id }, 'a connection was refused');
      socket.destroy();
    });
  });
  await listen(listener, record);
  listener.on('error', (error) => logger.error({ error, machine: record.id }, 'SSH listener failed'));
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    drop,
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        drop();
      }),
  };
}

function server(
  hostKey: string,
  serve: (connection: Connection, ip: string, port: number) => void,
): InstanceType<typeof Server> {
  return new Server(
    { hostKeys: [hostKey], algorithms, ident: 'slipway-local', keepaliveInterval: keepaliveMs, keepaliveCountMax: 4 },
    (connection, { ip, port }) => serve(connection, ip, port),
  );
}

function listen(listener: NetServer, { address, port }: MachineRecord): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen({ host: address, port, backlog: 128 }, () => {
      listener.removeListener('error', reject);
      resolve();
    });
  });
}

/** While a login is held its bytes are kept aside, so that a client that leaves is noticed. */
async function heldLogin(socket: Socket, gates: GateKeeper, record: MachineRecord): Promise<void> {
  const gone = new AbortController();
  const early: Buffer[] = [];
  const keep = (chunk: Buffer): void => void early.push(chunk);
  const left = (): void => gone.abort();
  socket.on('data', keep);
  socket.once('close', left);
  try {
    await gates.pass('login', { machineId: record.tags['slipway-machine'] }, gone.signal);
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  } finally {
    socket.pause();
    socket.removeListener('data', keep);
    socket.removeListener('close', left);
    if (early.length > 0 && !socket.destroyed) socket.unshift(Buffer.concat(early));
  }
}

function serveConnection(
  connection: Connection,
  { record, tier, knobs, gates, logger }: SshServiceOptions,
  counted: { refused: number },
  peer: { readonly ip: string; readonly port: number },
): void {
  let account: Account | undefined;
  let tries = 0;
  const accept = async (context: AuthContext): Promise<boolean> => {
    if (context.method !== 'publickey') return false;
    const known = await tier.account(record, context.username);
    if (!known) return false;
    const key = await allowedKey(record, tier, known, context);
    if (!key) return false;
    // The question whether a key would do; the signature comes after it.
    if (context.signature === undefined || context.blob === undefined) return true;
    if (!key.verify(context.blob, context.signature, context.hashAlgo)) return false;
    if (counted.refused < (knobs().refuseLogins ?? 0)) {
      counted.refused += 1;
      return false;
    }
    account = known;
    return true;
  };
  connection.on('authentication', (context) => {
    void accept(context)
      .catch((error: unknown) => {
        logger.warn({ error, machine: record.id }, 'a login failed');
        return false;
      })
      .then((ok) => {
        if (ok) return context.accept();
        if (context.method !== 'none') tries += 1;
        if (tries >= mostTries) return connection.end();
        return context.reject(['publickey']);
      });
  });
  connection.on('error', (error) => logger.debug({ error, machine: record.id }, 'a connection broke'));
  connection.on('tcpip', (accept, reject, info) => (account ? forward(accept, reject, info) : reject()));
  connection.on('session', (accept) => {
    if (!account) return connection.end();
    return serveSession(accept(), {
      account,
      base: {
        SSH_CLIENT: `${peer.ip} ${peer.port} ${record.port}`,
        SSH_CONNECTION: `${peer.ip} ${peer.port} ${record.address} ${record.port}`,
      },
      start: (run) => tier.spawn(record, run),
      pass: (command, signal) => gates.pass('exec', { machineId: record.tags['slipway-machine'], command }, signal),
      logger,
    });
  });
}

/** Injected keys are for the account that the provider names, keys of a user's own file for that user. */
async function allowedKey(
  record: MachineRecord,
  tier: Tier,
  account: Account,
  context: PublicKeyAuthContext,
): Promise<ParsedKey | undefined> {
  const injected = account.name === tier.user ? record.spec.authorizedKeys : [];
  const find = (lines: readonly string[]): ParsedKey | undefined => {
    for (const line of lines) {
      const key = parsed(line);
      if (key?.getPublicSSH().equals(context.key.data) === true) return key;
    }
    return undefined;
  };
  return find(injected) ?? find(await tier.authorizedKeys(record, account));
}

/** Nothing for a comment, a line with options (we obey none of them) or a damaged one. */
function parsed(line: string): ParsedKey | undefined {
  const key = utils.parseKey(line.trim());
  return key instanceof Error ? undefined : key;
}
