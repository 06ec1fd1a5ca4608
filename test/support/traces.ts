/** What a tenant can leave on a machine, how it is left, and how the next tenant would find it. */
export interface Trace {
  readonly what: string;
  /** A text for sh that leaves it. */
  readonly leave: string;
  /** A text for sh that prints something exactly when it is there. */
  readonly look: string;
}

const file = (path: string): Trace => ({
  what: `the file ${path}`,
  leave: `mkdir -p "${path.slice(0, path.lastIndexOf('/'))}" && echo secret-of-one >"${path}"`,
  look: `cat "${path}"`,
});

/** Finds processes by a word of their command line; in brackets, so that it does not find itself. */
const running = (word: string): string => `grep -lz '[${word.slice(0, 1)}]${word.slice(1)}' /proc/[0-9]*/cmdline`;

/**
 * In the login user's home, or of its processes: on a machine of any kind.
 * @param tag digits that no other run of a test has: what is seen of a host's processes may be those of others
 */
export const tracesAtHome = (tag: string): readonly Trace[] => [
  file('$HOME/left.txt'),
  file('$HOME/deep/down/here/left.txt'),
  file('$HOME/.hidden/left.txt'),
  {
    what: 'a file with an odd name',
    leave: String.raw`touch "$HOME/$(printf 'odd\tname\nof one')"`,
    look: String.raw`find "$HOME" -name '*of one'`,
  },
  {
    what: 'folders that lock everybody out',
    leave: 'mkdir -p ~/locked/in && echo secret >~/locked/in/it && chmod 000 ~/locked/in ~/locked',
    look: 'ls -d ~/locked',
  },
  { what: 'a fifo', leave: 'mkfifo ~/fifo', look: 'ls ~/fifo' },
  { what: 'a link', leave: 'ln -s /etc/passwd ~/link', look: 'ls ~/link' },
  { what: 'a changed file', leave: 'echo "export LEFT=secret-of-one" >>~/.profile', look: 'grep LEFT ~/.profile' },
  { what: 'a removed file', leave: 'rm -f ~/kept.txt', look: '[ -f ~/kept.txt ] || echo gone' },
  {
    what: 'a changed mode',
    leave: 'chmod 777 ~/kept.sh',
    look: 'ls -l ~/kept.sh | grep -v "^-rwxr-x---"',
  },
  {
    what: 'a file in place of a folder',
    leave: 'rm -rf ~/kept && echo secret >~/kept',
    look: 'find ~/kept -type f -maxdepth 0; [ "$(cat ~/kept/in)" = kept ] || echo gone',
  },
  {
    what: 'a key to log in with',
    leave: 'mkdir -p ~/.ssh && echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPone one" >>~/.ssh/authorized_keys',
    look: 'grep " one$" ~/.ssh/authorized_keys',
  },
  {
    what: 'a process that left its session',
    leave: `setsid sleep ${tag}1 </dev/null >/dev/null 2>&1 &`,
    look: running(`${tag}1`),
  },
  {
    what: 'a process without environment',
    leave: `cd && (env -i setsid sleep ${tag}2 </dev/null >/dev/null 2>&1 &)`,
    look: running(`${tag}2`),
  },
  {
    what: 'a process that shares nothing with its machine',
    leave: `cd / && (env -i setsid sleep ${tag}6 </dev/null >/dev/null 2>&1 &)`,
    look: running(`${tag}6`),
  },
  {
    what: 'a process that starts others',
    leave: `setsid sh -c 'while :; do sleep ${tag}3 & sleep 0.05; kill $!; done' </dev/null >/dev/null 2>&1 &`,
    look: running(`${tag}3`),
  },
  {
    what: 'what tasks left',
    leave: 'mkdir -p "$BASE/tasks/one" && echo out >"$BASE/tasks/one/out"',
    look: 'ls "$BASE/tasks"',
  },
];

/** Outside the home: on a machine with a root of its own, by its root. */
export const tracesOfRoot = (tag: string): readonly Trace[] => [
  ...[
    '/tmp',
    '/var/tmp',
    '/etc',
    '/opt',
    '/srv',
    '/mnt',
    '/usr/local/bin',
    '/left-at-the-top',
    '/run',
    '/dev/shm',
    '/dev',
  ].map((folder) => file(`${folder}/left-of-one`)),
  file('/var/log/left-of-one'),
  file('/var/spool/cron/crontabs/root'),
  file('/etc/cron.d/left-of-one'),
  file('/etc/systemd/system/left-of-one.service'),
  file('/etc/profile.d/left-of-one.sh'),
  { what: 'a changed file in /etc', leave: 'echo "10.9.8.7 one" >>/etc/hosts', look: 'grep 10.9.8.7 /etc/hosts' },
  { what: 'the environment', leave: 'echo ONE=secret >>/etc/environment', look: 'grep ONE= /etc/environment' },
  {
    what: 'a user with a home',
    leave: `echo 'one:x:4711:4711::/home/one:/bin/sh' >>/etc/passwd && echo 'one:!:1::::::' >>/etc/shadow
      mkdir -p /home/one && echo secret >/home/one/left && chown -R 4711:4711 /home/one`,
    look: 'grep ^one: /etc/passwd /etc/shadow; ls -d /home/one',
  },
  { what: 'a group', leave: "echo 'one:x:4711:' >>/etc/group", look: 'grep ^one: /etc/group' },
  {
    what: 'a process of another user',
    leave: `/usr/bin/setpriv --reuid=4711 --clear-groups setsid sleep ${tag}4 </dev/null >/dev/null 2>&1 &`,
    look: running(`${tag}4`),
  },
  {
    what: 'a process that nothing but KILL ends',
    leave: `setsid sh -c 'trap "" TERM INT HUP; while :; do sleep ${tag}5; done' </dev/null >/dev/null 2>&1 &`,
    look: running(`${tag}5`),
  },
  {
    what: 'shared memory, messages and semaphores',
    leave: 'ipcmk -M 4096 -p 600 && ipcmk -Q && ipcmk -S 1',
    look: 'tail -n +2 -q /proc/sysvipc/*',
  },
  { what: 'another host name', leave: 'echo one-was-here >/etc/hostname', look: 'grep one-was-here /etc/hostname' },
  { what: 'an emptied folder', leave: 'rm -rf /etc/skel', look: '[ -d /etc/skel ] || echo gone' },
  { what: 'a changed owner', leave: 'chown 4711:4711 /etc/hosts', look: 'find /etc/hosts -user 4711' },
];

/** Made before the baseline, so that there is something to change. */
export const before = `mkdir -p ~/kept && echo kept >~/kept/in && echo kept >~/kept.txt
echo true >~/kept.sh && chmod 750 ~/kept.sh && echo "# kept" >>~/.profile`;
