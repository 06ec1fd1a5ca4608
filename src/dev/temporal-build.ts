import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OnProgress } from './progress.ts';
import { runCommand, type CommandEnd } from './run-command.ts';

export interface BuildOptions {
  /** Path of the `go` command. */
  readonly go: string;
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/** Packages that the CLI is made of, about: only for the bar. */
const packages = 1700;

/** CLI 1.6 and later carry a replace directive, which `go install` refuses: a module of our own repeats it. */
const wrapper = `module slipway.local/temporal

go 1.26.4

require github.com/temporalio/cli v1.8.2

replace github.com/temporalio/cli/cliext => github.com/temporalio/cli/cliext v0.0.0-20260731000218-c579925f193f

tool github.com/temporalio/cli/cmd/temporal
`;
const command = 'github.com/temporalio/cli/cmd/temporal';
/** The last CLI that `go install` takes as it is: the fallback of the fallback (server 1.29.1). */
export const plainVersion = '1.5.1';

/**
 * Builds the wanted Temporal CLI from source.
 * @returns the path of the binary in `folder`
 */
export async function buildTemporal(options: BuildOptions): Promise<string> {
  await writeFile(join(options.folder, 'go.mod'), wrapper);
  const out = join(options.folder, 'temporal');
  await go(options, ['build', '-v', '-mod=mod', '-trimpath', '-ldflags=-s -w', '-o', out, command]);
  return out;
}

/** As `buildTemporal`, an older CLI which needs no module around it. */
export async function installPlainTemporal(options: BuildOptions): Promise<string> {
  const bin = join(options.folder, 'bin');
  await mkdir(bin, { recursive: true });
  await go(options, ['install', '-v', '-trimpath', '-ldflags=-s -w', `${command}@v${plainVersion}`], { GOBIN: bin });
  return join(bin, 'temporal');
}

async function go(options: BuildOptions, args: readonly string[], extra: Record<string, string> = {}): Promise<void> {
  const began = performance.now();
  let built = 0;
  let fetched = 0;
  let reported = -Infinity;
  const onLine = (line: string) => {
    if (line.startsWith('go: downloading ')) fetched += 1;
    else if (/^[\w.-]+(\/[\w.~-]+)*$/.test(line)) built += 1;
    const now = performance.now();
    if (now - reported < 500) return;
    reported = now;
    options.onProgress({
      step: 'build',
      text: built === 0 ? `go: ${fetched} modules fetched` : `go build: ${built} of ~${packages} packages`,
      fraction: Math.min(built / packages, 0.99),
      elapsedMs: now - began,
    });
  };
  const end: CommandEnd = await runCommand(options.go, args, {
    // A workspace or flags of the caller's would change what is built.
    env: { ...options.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off', ...extra },
    cwd: options.folder,
    signal: options.signal,
    onLine,
  });
  if (end.status === 0) return;
  throw new Error(`go ${args[0]} ended with ${end.status}: ${end.text.trim().split('\n').slice(-8).join('\n')}`);
}
