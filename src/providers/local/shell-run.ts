import type { Run } from './tier.ts';

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const plainPath = '/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games';
const loginShells = new Set(['bash', 'zsh', 'ksh', 'ash', 'fish', 'mksh']);

/**
 * Goes to the home folder, takes the client's variables and becomes the shell. They travel under a prefix: as `LD_PRELOAD`
 * or the like they would act on the host's own programs in front of the machine's door. Names are checked, so `eval` meets
 * no one's text.
 */
const enter = `cd "$HOME" 2>/dev/null || cd /
for name in $1; do
  eval "export $name=\\"\\$SLIPWAY_SET_$name\\""
  unset "SLIPWAY_SET_$name"
done
shift
exec "$@"`;

/** As \`enter\`, on a terminal that script(1) makes: Node has none to give. */
const terminal = `if command -v script >/dev/null; then
  SLIPWAY_SHELL=$SHELL SHELL=/bin/sh exec script -q -e -f -c '
stty sane echo rows "$SLIPWAY_ROWS" cols "$SLIPWAY_COLUMNS"
SHELL=$SLIPWAY_SHELL
if [ -n "\${SLIPWAY_COMMAND+set}" ]; then set -- -c "$SLIPWAY_COMMAND"; else set -- $SLIPWAY_LOGIN; fi
unset SLIPWAY_SHELL SLIPWAY_ROWS SLIPWAY_COLUMNS SLIPWAY_COMMAND SLIPWAY_LOGIN
exec "$SHELL" "$@"' /dev/null
fi
echo "No terminal here: script(1) is not installed on this machine." >&2
if [ -n "\${SLIPWAY_COMMAND+set}" ]; then exec "$SHELL" -c "$SLIPWAY_COMMAND"; fi
exec "$SHELL"`;

/** The words and environment that start what a channel asked for, once inside the machine and under the account. */
export function shellRun(run: Run): {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
} {
  const { account, command } = run;
  const names = Object.keys(run.env).filter((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  const set = Object.fromEntries(names.map((name) => [`SLIPWAY_SET_${name}`, run.env[name] ?? '']));
  const login = loginShells.has(account.shell.split('/').at(-1) ?? '') ? '-l' : '';
  const shell =
    command === undefined ? [account.shell, ...(login === '' ? [] : [login])] : [account.shell, '-c', command];
  const env: Record<string, string> = {
    PATH: account.uid === 0 ? path : plainPath,
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    ...run.base,
    ...set,
  };
  if (!run.terminal) return { words: ['/bin/sh', '-c', enter, 'sh', names.join(' '), ...shell], env };
  return {
    words: ['/bin/sh', '-c', enter, 'sh', names.join(' '), '/bin/sh', '-c', terminal],
    env: {
      ...env,
      TERM: run.terminal.name,
      SLIPWAY_ROWS: String(run.terminal.rows),
      SLIPWAY_COLUMNS: String(run.terminal.columns),
      SLIPWAY_LOGIN: login,
      ...(command === undefined ? {} : { SLIPWAY_COMMAND: command }),
    },
  };
}
