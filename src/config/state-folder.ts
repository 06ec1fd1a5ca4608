import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** Paths of the state folder, `.slipway/` by default. Everything a stack keeps is below it. */
export interface StateFolder {
  readonly root: string;
  /** Format version of the folder. */
  readonly version: string;
  /** Addresses and pids of the running stack. */
  readonly stack: string;
  /** The API's bearer token, 0600. */
  readonly token: string;
  /** The installation secret, 0600: all derived keys come from it. */
  readonly installationKey: string;
  /** Pid files `<process>.json` and locks of running processes. */
  readonly run: string;
  /** Where guests are listened for on this host. */
  readonly rendezvous: string;
  readonly database: string;
  readonly blobs: string;
  readonly output: string;
  /** What was fetched from guests. */
  readonly fetched: string;
  /** The last good versions of bundles. */
  readonly goodBundles: string;
  /** The last good version of `slipway.yaml`. */
  readonly goodSettings: string;
  /** Callers' sealed secrets, by lease. */
  readonly sealed: string;
  /** Faults to inject into providers; what struck lies beside it. Mostly not there. */
  readonly faults: string;
  /** The `local` provider's own. */
  readonly local: string;
  /** Who has which machine of `static` providers, by name of the provider. */
  readonly static: string;
  /** Machines and images of `qemu` providers, by name of the provider. */
  readonly qemu: string;
  readonly log: string;
  /** The operator's files beside the folder. */
  readonly config: string;
  readonly bundles: string;
}

export const stateFolderName = '.slipway';

export function stateFolder(root: string): StateFolder {
  const at = resolve(root);
  const beside = dirname(at);
  return {
    root: at,
    version: join(at, 'version'),
    stack: join(at, 'stack.json'),
    token: join(at, 'token'),
    installationKey: join(at, 'installation.key'),
    run: join(at, 'run'),
    rendezvous: join(at, 'run', 'rendezvous.json'),
    database: join(at, 'temporal.db'),
    blobs: join(at, 'blobs'),
    output: join(at, 'output'),
    fetched: join(at, 'fetched'),
    goodBundles: join(at, 'good-bundles'),
    goodSettings: join(at, 'good-settings.yaml'),
    sealed: join(at, 'sealed'),
    faults: join(at, 'faults.json'),
    local: join(at, 'local'),
    static: join(at, 'static'),
    qemu: join(at, 'qemu'),
    log: join(at, 'log'),
    config: join(beside, 'slipway.yaml'),
    bundles: join(beside, 'bundles'),
  };
}

/** `--state`, then `SLIPWAY_STATE`, then the nearest `.slipway` upward, else `.slipway` here (not made yet). */
export function findStateFolder(
  given: string | undefined,
  fromEnvironment: string | undefined,
  cwd: string,
): StateFolder {
  const named = given ?? fromEnvironment;
  if (named !== undefined && named !== '') return stateFolder(resolve(cwd, named));
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const candidate = join(folder, stateFolderName);
    if (existsSync(candidate)) return stateFolder(candidate);
    if (dirname(folder) === folder) return stateFolder(join(resolve(cwd), stateFolderName));
  }
}
