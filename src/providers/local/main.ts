/** A process of its own, so that machines outlive worker and stack. Its argument is the folder; a client starts it. */
import { writeSync } from 'node:fs';
import { runLocal } from './process.ts';
import { toWire } from './protocol.ts';

/** What whoever started us reads on descriptor 3: one line, then the end of the file. */
function tell(value: { readonly ready: true } | { readonly held: true } | { readonly failure: unknown }): void {
  try {
    writeSync(3, `${JSON.stringify(value)}\n`);
  } catch (error) {
    // Started by hand, nobody listens there.
    if (!['EBADF', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

// A client, a channel or a log that is gone is told by an error of its own, never by the death of all machines' SSH.
process.on('SIGPIPE', () => undefined);
process.on('SIGHUP', () => undefined);
process.umask(0o022);
runLocal({
  folder: process.argv[2] ?? '',
  isServed: false,
  runtimeFolder: process.env['XDG_RUNTIME_DIR'],
  onReady: () => tell({ ready: true }),
}).then(
  (end) => {
    if (end === 'held') tell({ held: true });
    process.exit(0);
  },
  (error: unknown) => {
    tell({ failure: toWire(error) });
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
