import { homedir } from 'node:os';
import { join } from 'node:path';

/** What the embedded stack takes from its surroundings. */
export interface DevEnvironment {
  /** `SLIPWAY_TEMPORAL_CLI`: a Temporal CLI chosen by the operator. */
  readonly temporalCli: string | undefined;
  readonly path: string;
  /** Where servers are kept between runs: `$XDG_CACHE_HOME/slipway`, else `~/.cache/slipway`. */
  readonly cacheFolder: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export function devEnvironment(variables: Readonly<Record<string, string | undefined>> = process.env): DevEnvironment {
  const named = (name: string) => (variables[name] === '' ? undefined : variables[name]);
  return {
    temporalCli: named('SLIPWAY_TEMPORAL_CLI'),
    path: variables['PATH'] ?? '',
    cacheFolder: join(named('XDG_CACHE_HOME') ?? join(named('HOME') ?? homedir(), '.cache'), 'slipway'),
    variables,
  };
}
