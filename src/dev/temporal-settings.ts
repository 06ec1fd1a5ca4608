import { searchAttributes } from '../contract/messages.ts';

/** Each was measured: see ARCHITECTURE.md. The server takes a wrong name silently, so a test looks at each effect. */
export const dynamicConfig = {
  // The queue readers are else paced at 20 polls a second, which costs every activity about 100 ms.
  'history.transferProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxPollRPS': 2000,
  // Off by default: an activity may be handed to the worker with the answer that schedules it.
  'system.enableActivityEagerExecution': true,
  // Every server timer, retry back-offs too, is else up to 1 s late.
  'history.timerProcessorMaxTimeShift': '10ms',
  // Continue-as-new is else paced at 1 s a hop.
  'history.workflowIdReuseMinimalInterval': '0s',
} as const;

/** An open workflow survives kill -9 of the server with these, and a commit does not wait for the disk. */
export const sqlitePragmas = { journal_mode: 'WAL', synchronous: 'NORMAL' } as const;

/** Same id, same lease holds for the retention; the dev server's own default is 24 h. */
export const retentionDays = 30;

export interface ServerOptions {
  readonly port: number;
  /** Absent: no UI. */
  readonly uiPort?: number;
  /** Absent: in memory. */
  readonly database?: string;
}

export function serverArguments(options: ServerOptions): readonly string[] {
  return [
    'server',
    'start-dev',
    // Its own configuration and environment would else decide over ours.
    '--disable-config-env',
    '--disable-config-file',
    '--ip',
    '127.0.0.1',
    '--port',
    String(options.port),
    ...(options.uiPort === undefined
      ? ['--headless']
      : ['--ui-ip', '127.0.0.1', '--ui-port', String(options.uiPort), '--ui-disable-news-fetch']),
    ...(options.database === undefined ? [] : ['--db-filename', options.database]),
    ...(options.database === undefined ? [] : pairs('--sqlite-pragma', sqlitePragmas, String)),
    ...pairs('--dynamic-config-value', dynamicConfig, JSON.stringify),
    // On an existing file the flag registers nothing: what is missing is added after the start.
    ...searchAttributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
}

const pairs = (
  flag: string,
  values: Readonly<Record<string, unknown>>,
  write: (value: unknown) => string,
): readonly string[] => Object.entries(values).flatMap(([key, value]) => [flag, `${key}=${write(value)}`]);
