import { spawn } from 'node:child_process';
import type { Logger } from 'pino';
import type { ServerChannel, Session } from 'ssh2';
import { joinChannel, signalInside, terminalBelow } from './ssh-channel.ts';
import type { Account, Run } from './tier.ts';

export interface SessionOptions {
  readonly account: Account;
  /** `SSH_CLIENT` and the like. */
  readonly base: Readonly<Record<string, string>>;
  readonly start: (run: Run) => ReturnType<typeof spawn>;
  /** Waits where a test holds commands. */
  readonly pass: (command: string, signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
}

/** Where distributions keep the server side of SFTP, which scp(1) speaks too. */
const sftpServers = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server', '/usr/lib/ssh/sftp-server'];
const sftpCommand = `for s in ${sftpServers.join(' ')} /usr/libexec/sftp-server; do [ ! -x "$s" ] || exec "$s"; done; exit 127`;
/** More than anybody sends; a client must not fill our memory. */
const mostVariables = 200;

/** Serves one session channel: an exec, a shell or sftp, with or without a terminal. */
export function serveSession(session: Session, options: SessionOptions): void {
  const env: Record<string, string> = {};
  let terminal: Run['terminal'];
  let pid: number | undefined;

  session.on('env', (accept: Reply, reject: Reply, { key, val }) => {
    const fits = Object.keys(env).length < mostVariables;
    if (fits) env[key] = val;
    (fits ? accept : reject)?.();
  });
  session.on('pty', (accept: Reply, _reject, { term, rows, cols }) => {
    terminal = { name: /^[\w.+-]{1,64}$/.test(term) ? term : 'dumb', rows, columns: cols };
    accept?.();
  });
  session.on('window-change', (accept: Reply, _reject, { rows, cols }) => {
    accept?.();
    if (terminal) terminal = { ...terminal, rows, columns: cols };
    if (pid !== undefined) resize(pid, rows, cols);
  });
  session.on('signal', (accept: Reply, reject: Reply, { name }) => {
    const known = /^[A-Z0-9]{2,6}$/.test(name);
    if (known && pid !== undefined) signalInside(pid, `SIG${name}` as NodeJS.Signals);
    (known && pid !== undefined ? accept : reject)?.();
  });

  // Accepted at once: ssh2 loses what arrives for a session that has no channel yet.
  const run = (channel: ServerChannel, command: string | undefined): void => {
    const gone = new AbortController();
    const left = (): void => gone.abort();
    channel.once('close', left);
    options
      .pass(command ?? '', gone.signal)
      .then(() => {
        channel.removeListener('close', left);
        const { account, base } = options;
        const child = options.start({
          account,
          base,
          env,
          ...(command === undefined ? {} : { command }),
          ...(terminal === undefined ? {} : { terminal }),
        });
        pid = child.pid;
        joinChannel(channel, child, terminal !== undefined);
      })
      .catch((error: unknown) => {
        // A close without an exit code says that nobody knows, which is true.
        if (!gone.signal.aborted) options.logger.warn({ error }, 'a command was not started');
        channel.close();
      });
  };
  session.on('exec', (accept, _reject, { command }) => run(accept(), command));
  session.on('shell', (accept) => run(accept(), undefined));
  session.on('subsystem', (accept, reject, { name }) => {
    if (name !== 'sftp') return reject();
    // Not through the account's shell, which may be none of POSIX.
    return run(accept(), `exec /bin/sh -c '${sftpCommand}'`);
  });
}

type Reply = (() => void) | undefined;

/** Node has no ioctl: stty(1) of the host sets the size, which also tells the programs on that terminal. */
function resize(pid: number, rows: number, columns: number): void {
  const found = terminalBelow(pid);
  if (!found) return;
  spawn('stty', ['-F', `/proc/${found.pid}/fd/0`, 'rows', String(rows), 'cols', String(columns)], {
    stdio: 'ignore',
  }).on('error', () => undefined);
}
