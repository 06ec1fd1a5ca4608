#!/usr/bin/env node
import { runProgram } from './program.ts';

/** Ctrl-C, and being told to end: both stop waiting, never the job. */
const told = ['SIGTERM', 'SIGHUP'] as const;

// A reader that has gone is met where we write; as an event of nobody's it would end the process with a stack.
for (const out of [process.stdout, process.stderr]) {
  out.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const code = await runProgram(
  {
    io: {
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      env: process.env,
      cwd: process.cwd(),
      onInterrupt(listener) {
        const onAsked = (): void => listener('asked');
        const onTold = (): void => listener('told');
        process.on('SIGINT', onAsked);
        for (const name of told) process.on(name, onTold);
        return () => {
          process.off('SIGINT', onAsked);
          for (const name of told) process.off(name, onTold);
        };
      },
    },
    loadStack: () => import('../dev/stack.ts'),
    loadServe: () => import('../serve/serve.ts'),
  },
  process.argv.slice(2),
);
process.exit(code);
