/** What `temporal --version` says: `temporal version 1.5.0 (Server 1.29.1, UI 2.42.1)`. */
export interface TemporalVersion {
  readonly cli: string;
  readonly server: string;
}

export const wantedCli = '1.8.2';
/** First CLI that has all the settings that we give, and the server in it. A build from source says `0.0.0-DEV`. */
export const leastCli = '1.5.0';
export const leastServer = '1.29.0';

export function parseTemporalVersion(text: string): TemporalVersion | undefined {
  const found = /^temporal version (\S+) \(Server ([^,)\s]+)/m.exec(text);
  return found?.[1] === undefined || found[2] === undefined ? undefined : { cli: found[1], server: found[2] };
}

const numbers = (version: string): readonly number[] =>
  version
    .replace(/^v/, '')
    .split(/[.+-]/)
    .slice(0, 3)
    .map((part) => Number.parseInt(part, 10) || 0);

/** Negative when `a` is older. Anything behind the three numbers is left out. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export const isRecentEnough = (version: TemporalVersion): boolean =>
  compareVersions(version.cli, leastCli) >= 0 ||
  (version.cli.startsWith('0.0.0') && compareVersions(version.server, leastServer) >= 0);
