import { findStateFolder } from '../config/state-folder.ts';
import type { StateFolder } from '../config/state-folder.ts';
import type { SlipwayClient } from '../client/client.ts';
import type { FindEndpoint } from '../client/endpoint.ts';
import type * as stackModule from '../dev/stack.ts';
import type { Stack } from '../dev/stack.ts';
import type * as serveModule from '../serve/serve.ts';
import { DomainError } from '../domain/failure.ts';
import type { Io } from './io.ts';
import { paintFor } from './output/style.ts';
import type { Paint } from './output/style.ts';

/** The embedded stack, as `src/dev/stack.ts` has it; loaded when it is first needed. */
export type StackModule = Pick<typeof stackModule, 'findStack' | 'ensureStack' | 'stopStack' | 'runForeground'>;

/** Processes of a deployment; they load Temporal's SDK. */
export type ServeModule = Pick<typeof serveModule, 'serve' | 'setUp'>;

export interface Program {
  readonly io: Io;
  readonly loadStack: () => Promise<StackModule>;
  readonly loadServe: () => Promise<ServeModule>;
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly debug?: boolean;
  readonly state?: string;
}

/** What a command works with. */
export interface Cli {
  readonly io: Io;
  readonly json: boolean;
  /** Of standard error, where we talk. */
  readonly paint: Paint;
  readonly state: StateFolder;
  /** A line of talk, on standard error. */
  readonly say: (line: string) => void;
  /** Data, on standard output. */
  readonly print: (text: string) => void;
  /** `value` as JSON with `--json`, else the text. */
  show(value: unknown, text: () => string): void;
  stack(): Promise<StackModule>;
  serve(): Promise<ServeModule>;
  /** Set when the API is not a stack's of this state folder. */
  readonly remote: boolean;
  /** Of the stack that runs. @throws DomainError ProviderUnavailable when none does */
  client(): Promise<SlipwayClient>;
  /** Of that stack, or of the one that may take its place. */
  clientOf(stack: Stack): Promise<SlipwayClient>;
}

export function createCli({ io, loadStack, loadServe }: Program, options: CommonOptions): Cli {
  const state = findStateFolder(options.state, io.env['SLIPWAY_STATE'], io.cwd);
  const paint = paintFor(io.stderr, io.env);
  const json = options.json === true;
  const url = io.env['SLIPWAY_URL'];
  const print = (text: string): void => void io.stdout.write(`${text}\n`);

  const noStack = (): DomainError =>
    new DomainError('ProviderUnavailable', `No stack runs for ${state.root}.`, {
      hint: 'slipway dev --background (or slipway dev, in another terminal).',
    });
  const load = async (find: FindEndpoint): Promise<SlipwayClient> => {
    const { createClient } = await import('../client/client.ts');
    return createClient(find);
  };
  const ofStack = async (stack: Stack) => {
    const { readToken } = await import('../client/endpoint.ts');
    return { url: stack.url, token: await readToken(stack.tokenFile) };
  };
  const finding = async (first: Stack): Promise<FindEndpoint> => {
    const { findStack } = await loadStack();
    let known = await ofStack(first);
    return async (again) => {
      if (!again) return known;
      const stack = await findStack(state);
      if (stack === undefined) throw noStack();
      known = await ofStack(stack);
      return known;
    };
  };

  return {
    io,
    json,
    paint,
    state,
    remote: url !== undefined && url !== '',
    say: (line) => void io.stderr.write(`${line}\n`),
    print,
    show: (value, text) => print(json ? JSON.stringify(value, null, 2) : text()),
    stack: loadStack,
    serve: loadServe,
    async client() {
      if (url) {
        const { fixedEndpoint } = await import('../client/endpoint.ts');
        return load(fixedEndpoint(url, io.env['SLIPWAY_TOKEN_FILE'] ?? state.token));
      }
      const { findStack } = await loadStack();
      const stack = await findStack(state);
      if (stack === undefined) throw noStack();
      return load(await finding(stack));
    },
    clientOf: async (stack) => load(await finding(stack)),
  };
}
