import { DomainError } from '../domain/failure.ts';
import { shellWord } from '../domain/shell-word.ts';
import type { LaunchSpec } from './guest.ts';

/** Linux: MAX_ARG_STRLEN, 32 pages, with its closing NUL. */
const argumentMaxBytes = 131_071;

/**
 * Names that a shell keeps for itself (an assignment fails, or changes what is exported), or warns about on the task's
 * stderr (locales). They are set by `env` instead, whose argv can be seen: not for secrets.
 */
const shellOwn =
  /^(_|UID|EUID|PPID|GROUPS|IFS|OPTIND|OPTARG|OPTERR|LINENO|RANDOM|SRANDOM|SECONDS|EPOCH\w+|BASH\w*|SHELLOPTS|HISTCMD|DIRSTACK|FUNCNAME|LANG|LANGUAGE|LC_\w+|PWD|OLDPWD|SHLVL|PS4)$/;

/**
 * The shell text that becomes the command: enters the folder, sets the environment, and replaces itself by the argv
 * exactly as given. It holds the secrets; it is sent on stdin and never lies on the guest's disk.
 * @throws DomainError InvalidRequest for what no command or environment can hold
 */
export function taskProgram(spec: LaunchSpec): string {
  const argv = 'shell' in spec.command ? ['sh', '-c', spec.command.shell] : spec.command;
  const [program] = argv;
  if (program === undefined || program === '') throw invalid('the command is empty');
  if (program.startsWith('-')) throw invalid(`a command cannot start with a hyphen: ${program}`);
  for (const word of argv) checkText('an argument', word);

  const exported: string[] = [];
  const byEnv: string[] = [];
  for (const [name, value] of Object.entries(spec.env ?? {})) {
    checkVariable(name, value);
    if (Object.hasOwn(spec.secrets ?? {}, name)) continue;
    if (shellOwn.test(name)) byEnv.push(shellWord(`${name}=${value}`));
    else exported.push(`export ${name}=${shellWord(value)}`);
  }
  for (const [name, value] of Object.entries(spec.secrets ?? {})) {
    checkVariable(name, value);
    if (shellOwn.test(name)) throw invalid(`a secret cannot be named ${name}: that name is the shell's own`);
    exported.push(`export ${name}=${shellWord(value)}`);
  }
  if (byEnv.length > 0 && program.includes('='))
    throw invalid(`a command named ${program} cannot be given ${byEnv[0]}`);
  // PATH and HOME last: what stands before is looked up and entered with the user's own.
  exported.sort((a, b) => Number(/^export (PATH|HOME)=/.test(a)) - Number(/^export (PATH|HOME)=/.test(b)));

  return [
    'umask 022',
    enter(spec.cwd),
    'unset OLDPWD SHLVL',
    ...exported,
    `set -- ${argv.map(shellWord).join(' ')}`,
    notFound,
    `exec ${byEnv.length > 0 ? `env ${byEnv.join(' ')} ` : ''}"$@"`,
    '',
  ].join('\n');
}

/** 127 with a plain sentence, as a shell would; what is there but cannot run is left to exec (126). */
const notFound = [
  'case $1 in',
  '*/*) [ -e "$1" ] ;;',
  '*) command -v "$1" >/dev/null 2>&1 ;;',
  'esac || { printf "slipway: %s: command not found\\n" "$1" >&2; exit 127; }',
].join('\n');

function enter(cwd: string | undefined): string {
  if (cwd === undefined) return 'cd "$HOME" 2>/dev/null || cd /';
  checkText('the working directory', cwd);
  const folder =
    cwd === '~' ? '"$HOME"' : cwd.startsWith('/') ? shellWord(cwd) : `"$HOME"/${shellWord(cwd.replace(/^~\//, ''))}`;
  return `cd ${folder} 2>/dev/null || { printf "slipway: cannot enter the working directory %s\\n" ${folder} >&2; exit 126; }`;
}

function checkVariable(name: string, value: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw invalid(`${JSON.stringify(name)} is no name for an environment variable`);
  if (name === 'SLIPWAY_TASK') throw invalid('SLIPWAY_TASK is set by slipway: the whole task is found by it');
  checkText(`the environment variable ${name}`, `${name}=${value}`);
}

function checkText(what: string, value: string): void {
  if (value.includes('\0')) throw invalid(`${what} holds a NUL byte`);
  if (Buffer.byteLength(value) > argumentMaxBytes) throw invalid(`${what} is longer than ${argumentMaxBytes} bytes`);
}

const invalid = (message: string): DomainError =>
  new DomainError('InvalidRequest', `The task cannot be launched: ${message}`, {
    hint: 'Put long or binary input into a file and install it first.',
  });
