/**
 * Runs a command and kills it when descriptor 3, a pipe from whoever started us, closes: for systems without pdeathsig.
 * SIGKILL cannot be passed on, so it is the pipe's closing that stands for it.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { Socket } from 'node:net';

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error('Usage: guardian command [argument ...]');
const child = spawn(command, args, { stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => child.kill(signal));

const pipe = new Socket({ fd: 3 });
pipe.on('close', () => child.kill('SIGKILL')).on('error', () => child.kill('SIGKILL'));
pipe.resume();

child.once('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(127);
});
child.once('exit', (code, signal) => process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
