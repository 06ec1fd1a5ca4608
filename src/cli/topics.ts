import { failureTable } from '../domain/failure.ts';
import type { FailureType } from '../domain/failure.ts';
import { failureWords } from '../domain/failure-words.ts';

const failures = (Object.keys(failureTable) as FailureType[]).map((type) => {
  const { title, next } = failureWords[type];
  const { http, exit } = failureTable[type];
  return `  ${type}  (HTTP ${http}, exit ${exit})\n    ${title}. ${next}\n`;
});

/** Help on what belongs to no single command: `slipway help <topic>`. */
export const topics: Readonly<Record<string, string>> = {
  'exit-codes': `Exit codes

slipway run, task run and task logs -f exit as the job did:
  0-255   the job's own (128 + n when signal n killed it)
  124     stopped at its time limit (--timeout)
  130     cancelled, or Ctrl-C here
  125     everything of ours: never ready, lost, refused, or 0 and not all of --collect is here; why stands on standard
          error and in --json
  7       your own patience is over (--wait-timeout); the job goes on
  141     the pipe that read us was closed; the job goes on

All other commands:
  0   done
  1   a bug of slipway
  2   the request has to change: a flag, an unknown bundle, a mistake in a file
  3   there is no such thing, or it is over; dev status: no stack runs
  4   the token is missing or wrong
  5   the id is taken: by another body, or by another owner
  6   a provider, a machine or the stack did not do its part
  7   --wait-timeout is over
  130 Ctrl-C
`,
  errors: `Errors: the type stands in every error, in --json and in a lease's reason

${failures.join('')}`,
  environment: `Environment

  SLIPWAY_STATE           the state folder (--state comes first; then the nearest .slipway upward, else made here)
  SLIPWAY_URL             an API elsewhere, in place of this folder's stack
  SLIPWAY_TOKEN_FILE      with it: the file that holds the token
  SLIPWAY_TEMPORAL_CLI    the temporal program that slipway dev starts
  SLIPWAY_PORTS           any: a stack takes free ports, and not 4800, 7233 and 8233 when they are free
  TEMPORAL_ADDRESS        of slipway setup and serve, and of slipway dev with --temporal (and Temporal's other variables and profiles)
  SLIPWAY_LISTEN          where slipway serve api listens: HOST:PORT
  SLIPWAY_READY_FILE      of slipway serve: the file that says that it serves
  SLIPWAY_LOG_LEVEL       of slipway serve and dev: debug, info, warn
  NO_COLOR                set to anything: no colours (none in pipes either)

A value that is secret is never an argument: export it, and name it with --secret-env NAME.
`,
};
