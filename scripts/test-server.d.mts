import type { DevEnvironment } from '../src/config/dev-environment.ts';

/** A command that, with a port as its last argument, is the server. */
export interface TestServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly from: 'SLIPWAY_TEST_SERVER' | 'cache' | 'download' | 'maven';
}
export function findTestServer(options: {
  readonly environment: DevEnvironment;
  readonly say: (text: string) => void;
  /** Where the official archive is asked for. */
  readonly service?: string;
}): Promise<TestServerCommand | { readonly missing: string }>;

/** Waits until somebody listens on the port of 127.0.0.1, as long as `alive` says so. */
export function untilOpen(port: number, alive: () => boolean): Promise<void>;
