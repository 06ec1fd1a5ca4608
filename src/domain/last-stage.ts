import { shellWord } from './shell-word.ts';
import type { GuestFile, GuestScript } from './user-data.ts';

/**
 * The first failure ends it. What it came to stands in `result` (an exit code) and `words` (what the guest itself says of
 * it), which the check-in posts when cloud-init is done.
 */
const head = `#!/bin/sh
# The last stage of this machine's configuration, by its bundle: files, then scripts, in order; the first failure ends it.
set -u
umask 077
HOME=\${HOME:-/root} PATH=\${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME PATH
at=/var/lib/slipway/boot
mkdir -p "$at" && cd / || exit 1
rm -f "$at/result" "$at/words"
ended() {
  printf %s "$2" >"$at/words"
  printf '%s\\n' "$1" >"$at/.result" && mv -f "$at/.result" "$at/result"
  exit "$1"
}
# PATH MODE OWNER[:GROUP], the content on stdin
file() {
  part=\${1%/*}/.\${1##*/}.slipway
  said=$({ (umask 022 && mkdir -p "\${1%/*}/") && cat >"$part" && { [ -z "$3" ] || chown "$3" "$part"; } &&
    chmod "$2" "$part" && mv -f "$part" "$1"; } 2>&1) || {
    rm -f "$part"
    ended 1 "file $1: $said"
  }
}
# NUMBER TITLE FAILURE-ALLOWED PROGRAM WORDS...
run() {
  number=$1 title=$2 allowed=$3
  shift 3
  echo "slipway: script $number: $title"
  "$@" </dev/null >"$at/$number.log" 2>&1
  code=$?
  [ "$code" -eq 0 ] && return 0
  echo "slipway: script $number exited $code"
  [ -n "$allowed" ] && return 0
  ended "$code" "script $number ($title) exited $code: $(tail -c 700 "$at/$number.log")"
}
`;

const owned = ({ owner = '', group }: GuestFile): string => (group === undefined ? owner : `${owner}:${group}`);

const fileLines = (file: GuestFile): string =>
  `printf %s ${shellWord(file.text)} | file ${shellWord(file.path)} ${file.mode ?? '0644'} ${shellWord(owned(file))} || exit 1\n`;

function scriptLines({ title, command, env = {}, allowFailure }: GuestScript, index: number): string {
  const number = index + 1;
  const path = `"$at/script-${number}"`;
  const named = shellWord(
    (title ?? ('shell' in command ? command.shell : command.join(' '))).replace(/\s+/g, ' ').trim().slice(0, 80),
  );
  const head = `run ${number} ${named} ${allowFailure === true ? 'yes' : "''"}`;
  const variables = Object.entries(env).map(([name, value]) => shellWord(`${name}=${value}`));
  const line = (program: string): string =>
    `${[head, ...(variables.length > 0 ? ['env', ...variables] : []), program].join(' ')}\n`;
  if (!('shell' in command)) return line(command.map(shellWord).join(' '));
  const written = `printf '%s\\n' ${shellWord(command.shell)} >${path} && chmod 0700 ${path} || ended 1 'script ${number} cannot be written'\n`;
  return written + line(command.shell.startsWith('#!') ? path : `sh ${path}`);
}

/** The last stage as a script for sh; undefined where there is nothing to do. */
export function lastStage(files: readonly GuestFile[], scripts: readonly GuestScript[]): string | undefined {
  if (files.length === 0 && scripts.length === 0) return undefined;
  return [head, ...files.map(fileLines), ...scripts.map(scriptLines), "ended 0 ''\n"].join('');
}
