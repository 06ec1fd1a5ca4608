import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processesWith, shells, startProtocol, tool, whichTool, type Protocol } from './protocol.ts';

const isRoot = process.getuid?.() === 0;
const linux = process.platform === 'linux';
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Waits for a state, never for a time. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe.skipIf(!linux).each(shells.filter((shell) => whichTool(shell)))('the task protocol in %s', (shell) => {
  let protocol: Protocol;
  beforeAll(() => {
    protocol = startProtocol(shell);
  });
  afterAll(() => protocol.remove());
  const at = (...path: string[]): string => join(protocol.base, ...path);
  const startOf = (id: string): string[] =>
    readFileSync(at('tasks', id, 'start'), 'utf8')
      .trim()
      .split(' ');
  /** As after a boot: everything of the task is dead, and the claim is of another boot. */
  const reboot = (id: string): void => {
    const [pid = '', started = '', , user = ''] = startOf(id);
    for (const victim of [Number(pid), ...processesWith(`SLIPWAY_TASK=${id}`, 'environ')]) {
      try {
        process.kill(victim, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    writeFileSync(at('tasks', id, 'start'), `${pid} ${started} 00000000-0000-0000-0000-000000000000 ${user}\n`);
  };

  it('a command runs with its argv as given, its streams apart, and its exit code is recorded', async () => {
    const argv = [
      'sh',
      '-c',
      'printf "[%s]" "$@"; printf err >&2; exit 7',
      'sh',
      "it's",
      '',
      '  two  ',
      '$HOME `id` \\',
      'a\nb',
      'é',
      '*',
    ];
    expect((await protocol.launch('argv', { command: argv }))[0]).toBe('running');
    const { stdout, stderr, poll } = await protocol.follow('argv');
    expect(stdout.toString()).toBe("[it's][][  two  ][$HOME `id` \\][a\nb][é][*]");
    expect(stderr.toString()).toBe('err');
    expect(poll).toMatchObject({ state: 'exited', exitCode: 7, cancelled: false, timedOut: false, signal: null });
    expect(poll.size).toEqual({ stdout: stdout.length, stderr: 3 });
    expect(protocol.files('argv')).toEqual([
      'err',
      expect.stringMatching(/^exit\.7\./),
      'out',
      expect.stringMatching(/^pid\./),
      'start',
    ]);
  });

  it('the environment is that of the task, and of the session only the marks of its machine', async () => {
    const env = { ODD: 'a=b "c" \'d\'\n$e', UID: '77', PATH: '/usr/bin:/bin:/odd', LANG: 'xx_YY', EMPTY: '' };
    await protocol.launch('env', { command: ['env', '-0'], env });
    const { stdout, stderr } = await protocol.follow('env');
    const seen = new Map(
      stdout
        .toString()
        .split('\0')
        .filter(Boolean)
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
    expect(stderr.toString()).toBe('');
    expect(Object.fromEntries(seen)).toMatchObject({
      ...env,
      HOME: protocol.base,
      SLIPWAY_TASK: 'env',
      SLIPWAY_MACHINE: 'its mark',
    });
    expect(seen.get('USER')).toBe(execFileSync('id', ['-un'], { encoding: 'utf8' }).trim());
    expect(seen.has('LEAK')).toBe(false);
  });

  it('a command that opens /dev/stdout and /dev/stderr anew loses nothing of what it wrote before', async () => {
    const shell = 'echo a; echo b >/dev/stdout; echo c; echo d >&2; echo e >/dev/stderr; echo f >&2';
    await protocol.launch('anew', { command: { shell } });
    const { stdout, stderr } = await protocol.follow('anew');
    expect([stdout.toString(), stderr.toString()]).toEqual(['a\nb\nc\n', 'd\ne\nf\n']);
  });

  it('binary output and output without a newline are kept byte for byte', async () => {
    await protocol.launch('bytes', { command: { shell: String.raw`printf '\377\376\000\200x'` } });
    expect((await protocol.follow('bytes')).stdout).toEqual(Buffer.from([0xff, 0xfe, 0, 0x80, 0x78]));
  });

  it('twelve launches of each of many ids at once run each id once', async () => {
    const ids = Array.from({ length: 15 }, (_, index) => `once${index}`);
    const log = at('once.log');
    const answers = await Promise.all(
      Array.from({ length: 12 }).flatMap(() =>
        ids.map((id) => protocol.launch(id, { command: { shell: `echo ${id} >>${log}` } })),
      ),
    );
    expect(answers.filter(([state]) => state !== 'running' && state !== 'exited')).toEqual([]);
    for (const id of ids) expect((await protocol.ended(id)).exitCode).toBe(0);
    expect(readFileSync(log, 'utf8').trim().split('\n').sort()).toEqual([...ids].sort());
  }, 120_000);

  it('a launch whose stdin was cut short is refused and leaves no claim', async () => {
    const cut = await protocol.launch('cut', { command: ['true'] }, (stdin) => stdin.slice(0, -1));
    expect(cut.slice(0, 2)).toEqual(['refused', 'truncated']);
    expect((await protocol.poll('cut')).state).toBe('absent');
    expect((await protocol.launch('cut', { command: ['true'] }))[0]).not.toBe('refused');
  });

  it.each([
    [['no-such-command'], {}, 127, 'slipway: no-such-command: command not found\n'],
    [['/no/such/command'], {}, 127, 'slipway: /no/such/command: command not found\n'],
    [['/etc/passwd'], {}, 126, /denied/i],
    [['true'], { cwd: '/no such folder' }, 126, 'slipway: cannot enter the working directory /no such folder\n'],
    [['true'], { user: 'no-such-user' }, 126, 'slipway: there is no user no-such-user\n'],
  ] as const)('%j with %j ends %i and says why', async (command, more, code, message) => {
    const id = `bad${sha256(Buffer.from(JSON.stringify([command, more]))).slice(0, 8)}`;
    await protocol.launch(id, { command, ...more });
    const { stderr, poll } = await protocol.follow(id);
    expect(poll).toMatchObject({ state: 'exited', exitCode: code });
    expect(stderr.toString()).toEqual(typeof message === 'string' ? message : expect.stringMatching(message));
  });

  it.each([
    ['KILL', 137],
    ['TERM', 143],
    ['SEGV', 139],
  ])('a command that dies by SIG%s ends as a shell says it', async (signal, code) => {
    await protocol.launch(`dies${signal}`, { command: { shell: `kill -${signal} $$` } });
    const { poll } = await protocol.follow(`dies${signal}`);
    expect(poll).toMatchObject({ state: 'exited', exitCode: code, signal: null });
  });

  it('the working directory is home, or the given one', async () => {
    mkdirSync(at("it's here"));
    await protocol.launch('cwd1', { command: ['pwd'] });
    await protocol.launch('cwd2', { command: ['pwd'], cwd: at("it's here") });
    await protocol.launch('cwd3', { command: ['pwd'], cwd: "it's here" });
    expect((await protocol.follow('cwd1')).stdout.toString()).toBe(`${protocol.base}\n`);
    expect((await protocol.follow('cwd2')).stdout.toString()).toBe(`${at("it's here")}\n`);
    expect((await protocol.follow('cwd3')).stdout.toString()).toBe(`${at("it's here")}\n`);
  });

  it('a secret is in the environment of the command, and on no disk and in no argv; a public value is seen in argv', async () => {
    const secret = 'hunter2-never-at-rest';
    const seen = { secret: 0, public: 0 };
    const over = new AbortController();
    const sampled = (async () => {
      while (!over.signal.aborted) {
        seen.secret += processesWith(secret, 'cmdline').length;
        seen.public += processesWith('plain-for-all', 'cmdline').length;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (const id of ['secret1', 'secret2', 'secret3']) {
      await protocol.launch(id, {
        command: [
          'sh',
          '-c',
          'until [ -e "$HOME/$1" ]; do sleep 0.02; done; echo "${#TOKEN}"',
          'sh',
          `${id}.go`,
          'plain-for-all',
        ],
        env: { TOKEN: 'the secret goes before' },
        secrets: { TOKEN: secret },
      });
      await until('it runs', () => processesWith(`TOKEN=${secret}`, 'environ').length > 0);
      seen.public += processesWith('plain-for-all', 'cmdline').length;
      expect(execFileSync('sh', ['-c', `grep -rlF ${secret} ${protocol.base} || true`], { encoding: 'utf8' })).toBe('');
      writeFileSync(at(`${id}.go`), '');
      expect((await protocol.follow(id)).stdout.toString()).toBe(`${secret.length}\n`);
    }
    over.abort();
    await sampled;
    expect(seen.secret).toBe(0);
    expect(seen.public).toBeGreaterThan(0);
  });

  it('stdin is the given file, and is removed afterwards; without one it is empty', async () => {
    const without = await protocol.launch('stdin', { command: ['cat'], stdinFile: { path: '', bytes: 12 } });
    expect(without.slice(0, 2)).toEqual(['refused', 'stdin']);
    mkdirSync(at('tasks', 'stdin'), { recursive: true });
    writeFileSync(at('tasks', 'stdin', 'stdin'), 'from a file\n');
    await protocol.launch('stdin', { command: ['cat'], stdinFile: { path: '', bytes: 12 } });
    expect((await protocol.follow('stdin')).stdout.toString()).toBe('from a file\n');
    await until('the file is removed', () => !protocol.files('stdin').includes('stdin'));
    await protocol.launch('nostdin', { command: ['cat'] });
    expect((await protocol.follow('nostdin')).poll).toMatchObject({ exitCode: 0, size: { stdout: 0, stderr: 0 } });
  });

  it('a marker says so while a task runs', async () => {
    await protocol.launch('active', { command: ['sleep', '60'] });
    expect(readdirSync(at('active'))).toContain('active');
    await protocol.kill('active', 1000);
    expect(readdirSync(at('active'))).not.toContain('active');
  });

  it('a kill before the launch prevents it', async () => {
    expect(await protocol.kill('early', 100)).toMatchObject({ state: 'absent', cancelled: true });
    await protocol.launch('early', { command: { shell: `echo ran >${at('early.log')}` } });
    expect(await protocol.ended('early')).toMatchObject({
      state: 'exited',
      exitCode: 143,
      cancelled: true,
      signal: null,
    });
    expect(existsSync(at('early.log'))).toBe(false);
  });

  it('TERM is enough for a command that obeys it, and it may still say its last word', async () => {
    await protocol.launch('obeys', {
      command: { shell: 'trap "echo bye; exit 9" TERM; echo up; while :; do sleep 0.05; done' },
    });
    await until('it is up', async () => (await protocol.poll('obeys')).size.stdout > 0);
    expect(await protocol.kill('obeys', 5000)).toMatchObject({
      state: 'exited',
      exitCode: 9,
      cancelled: true,
      signal: 'TERM',
    });
    expect((await protocol.follow('obeys')).stdout.toString()).toBe('up\nbye\n');
  });

  it('KILL reaches what ignores TERM and what has escaped into sessions of its own', async () => {
    await protocol.launch('escapes', {
      command: {
        shell:
          'trap "" TERM; (setsid sh -c "trap \\"\\" TERM; sleep 61 & sleep 62" &); echo up; while :; do sleep 63; done',
      },
    });
    await until('all are up', () => processesWith('SLIPWAY_TASK=escapes', 'environ').length >= 4);
    expect(await protocol.kill('escapes', 200)).toMatchObject({ state: 'exited', exitCode: 137, signal: 'KILL' });
    expect(processesWith('SLIPWAY_TASK=escapes', 'environ')).toEqual([]);
  });

  it('KILL reaches what has dropped its environment, its parent and its session', async () => {
    const sleep = `sleep 64.${process.pid}`;
    await protocol.launch('drops', {
      command: { shell: `(env -i setsid sh -c "trap '' TERM; ${sleep}; :" &); exec ${sleep}` },
    });
    const left = (): number[] => processesWith(sleep.replace(' ', '\0'), 'cmdline');
    await until('both are up', () => left().length >= 2);
    expect(processesWith('SLIPWAY_TASK=drops', 'environ')).toHaveLength(1);
    expect(await protocol.kill('drops', 200)).toMatchObject({ state: 'exited', exitCode: 143, signal: 'KILL' });
    expect(left()).toEqual([]);
  });

  it('its mark is no limit, and a command may still limit the size of its files', async () => {
    const command = {
      shell: 'truncate -s 1099511627776 big && echo made; rm big; ulimit -f 7; ulimit -S -f; ulimit -H -f',
    };
    await protocol.launch('limits', { command });
    expect((await protocol.follow('limits')).stdout.toString()).toBe('made\n7\n7\n');
  });

  it('a command starts with no signal ignored', async () => {
    await protocol.launch('by-int', { command: { shell: 'kill -INT $$; echo alive' } });
    const { stdout, poll } = await protocol.follow('by-int');
    expect(stdout.toString()).toBe('');
    expect(poll).toMatchObject({ state: 'exited', exitCode: 130, signal: null });
    // QUIT too, which shells ignore in themselves.
    await protocol.launch('signals', { command: ['grep', 'SigIgn', '/proc/self/status'] });
    expect((await protocol.follow('signals')).stdout.toString()).toMatch(/^SigIgn:\s0+\n$/);
  });

  it('the wrapper keeps the time limit: TERM, grace, KILL', async () => {
    await protocol.launch('limit1', { command: ['sleep', '60'], limitMs: 150, graceMs: 5000 });
    await protocol.launch('limit2', {
      command: { shell: 'trap "" TERM; while :; do sleep 1; done' },
      limitMs: 150,
      graceMs: 150,
    });
    await protocol.launch('limit3', { command: ['true'], limitMs: 60_000 });
    expect((await protocol.follow('limit1')).poll).toMatchObject({
      exitCode: 143,
      timedOut: true,
      cancelled: false,
      signal: 'TERM',
    });
    expect((await protocol.follow('limit2')).poll).toMatchObject({ exitCode: 137, timedOut: true, signal: 'KILL' });
    expect((await protocol.follow('limit3')).poll).toMatchObject({ exitCode: 0, timedOut: false });
    // Its keeper is not left sleeping.
    await until('no keeper is left', () => processesWith('keep\0limit3', 'cmdline').length === 0);
  });

  it('following goes on at any offset', async () => {
    await protocol.launch('offsets', { command: { shell: 'seq 1 40000; seq 1 30000 >&2' } });
    const whole = await protocol.follow('offsets');
    for (const [out, err] of [
      [0, 65536],
      [1, 65535],
      [65537, 131072],
      [131073, 1],
      [200_000, 100_000],
    ] as const) {
      const part = await protocol.follow('offsets', { out, err });
      expect(part.stdout.equals(whole.stdout.subarray(out))).toBe(true);
      expect(part.stderr.equals(whole.stderr.subarray(err))).toBe(true);
    }
    expect(
      (await protocol.follow('offsets', { out: whole.stdout.length, err: whole.stderr.length })).stdout.length,
    ).toBe(0);
  });

  it('a million short lines arrive whole, followed while they are written', async () => {
    await protocol.launch('million', { command: { shell: 'seq 1 1000000' } });
    const { stdout, poll } = await protocol.follow('million');
    expect(poll.size.stdout).toBe(6_888_896);
    expect(sha256(stdout)).toBe(
      sha256(Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => `${index + 1}\n`).join(''))),
    );
  });

  it('output that trickles in is followed as it comes', async () => {
    await protocol.launch('trickle', {
      command: { shell: 'for i in 1 2 3 4 5; do echo $i; echo e$i >&2; sleep 0.1; done' },
    });
    const { stdout, stderr } = await protocol.follow('trickle');
    expect(stdout.toString()).toBe('1\n2\n3\n4\n5\n');
    expect(stderr.toString()).toBe('e1\ne2\ne3\ne4\ne5\n');
  });

  it('a task ends with its command; a child that it left goes on until it is killed', async () => {
    await protocol.launch('leaves', { command: { shell: 'sleep 64 & echo done; exit 4' } });
    expect((await protocol.follow('leaves')).poll).toMatchObject({ state: 'exited', exitCode: 4 });
    expect(processesWith('SLIPWAY_TASK=leaves', 'environ')).toHaveLength(1);
    expect(await protocol.kill('leaves', 500)).toMatchObject({
      state: 'exited',
      exitCode: 4,
      cancelled: false,
      signal: null,
    });
    expect(processesWith('SLIPWAY_TASK=leaves', 'environ')).toEqual([]);
  });

  it('a wrapper that is told to end (a graceful reboot) still records the true exit code', async () => {
    await protocol.launch('told', { command: { shell: 'while [ ! -e go ]; do sleep 0.02; done; exit 5' } });
    for (let count = 0; count < 20; count += 1)
      process.kill(Number(startOf('told')[0]), count % 2 ? 'SIGTERM' : 'SIGHUP');
    expect(await protocol.poll('told')).toMatchObject({ state: 'running' });
    writeFileSync(at('go'), '');
    expect(await protocol.ended('told')).toMatchObject({ state: 'exited', exitCode: 5 });
  });

  it('a dead wrapper with a live command is an orphan, and lost when both are dead', async () => {
    await protocol.launch('orphan', { command: ['sleep', '65'] });
    await until('the command has begun', () => protocol.files('orphan').some((name) => name.startsWith('pid.')));
    process.kill(Number(startOf('orphan')[0]), 'SIGKILL');
    await until('it is an orphan', async () => (await protocol.poll('orphan')).state === 'orphan');
    expect(await protocol.kill('orphan', 500)).toMatchObject({ state: 'lost', exitCode: null, cancelled: true });
    expect(processesWith('SLIPWAY_TASK=orphan', 'environ')).toEqual([]);
    expect(await protocol.launch('orphan', { command: ['true'] })).toEqual(expect.arrayContaining(['lost']));
  });

  it('a pid that went to another process is not taken for the wrapper', async () => {
    await protocol.launch('reused', { command: ['sleep', '66'] });
    await until('it runs', () => processesWith('sleep\x0066', 'cmdline').length === 1);
    const [, , boot = ''] = startOf('reused');
    const victims = [Number(startOf('reused')[0]), ...processesWith('SLIPWAY_TASK=reused', 'environ')];
    for (const victim of victims) process.kill(victim, 'SIGKILL');
    writeFileSync(at('tasks', 'reused', 'start'), `${process.pid} 1 ${boot} -\n`);
    expect((await protocol.poll('reused')).state).toBe('lost');
    expect((await protocol.kill('reused', 100)).state).toBe('lost');
  });

  it('a reboot is told from a loss, and an exit recorded before it stays true', async () => {
    await protocol.launch('boot1', { command: { shell: 'echo half; sleep 67' } });
    await until('it wrote', async () => (await protocol.poll('boot1')).size.stdout > 0);
    reboot('boot1');
    expect(await protocol.poll('boot1')).toMatchObject({
      state: 'rebooted',
      exitCode: null,
      rebooted: true,
      size: { stdout: 5 },
    });
    expect((await protocol.follow('boot1')).stdout.toString()).toBe('half\n');
    expect((await protocol.launch('boot1', { command: ['true'] }))[0]).toBe('rebooted');

    await protocol.launch('boot2', { command: { shell: 'echo whole; exit 6' } });
    await protocol.ended('boot2');
    reboot('boot2');
    expect(await protocol.poll('boot2')).toMatchObject({ state: 'exited', exitCode: 6, rebooted: true });
    // Power was cut before the output had reached the disk.
    writeFileSync(at('tasks', 'boot2', 'out'), 'wh');
    expect(await protocol.poll('boot2')).toMatchObject({ state: 'rebooted', exitCode: null, size: { stdout: 2 } });
  });

  it('a cleaned task cannot be launched again; a running one is not cleaned', async () => {
    await protocol.launch('clean', { command: ['sleep', '68'] });
    expect((await protocol.say('clean', 'clean')).slice(0, 2)).toEqual(['refused', 'busy']);
    await protocol.kill('clean', 500);
    expect(await protocol.say('clean', 'clean')).toEqual(['cleaned']);
    expect(existsSync(at('tasks', 'clean'))).toBe(false);
    expect(readdirSync(at('gone'))).toContain('clean');
    expect((await protocol.launch('clean', { command: { shell: `echo ran >${at('late.log')}` } }))[0]).toBe('gone');
    expect((await protocol.follow('clean')).poll.state).toBe('gone');
    expect(existsSync(at('late.log'))).toBe(false);
    expect(await protocol.say('clean', 'clean')).toEqual(['cleaned']);
  });

  it('a cleaned task stays so when the clock of the guest jumps, and only thousands of later ones make it forgotten', async () => {
    await protocol.launch('jump', { command: ['true'] });
    await protocol.ended('jump');
    await protocol.say('clean', 'jump');
    // What a clock that is set right after a boot without one does to every age.
    utimesSync(at('gone', 'jump'), 0, 0);
    await protocol.say('clean', 'other');
    expect((await protocol.launch('jump', { command: { shell: `echo ran >${at('jump.log')}` } }))[0]).toBe('gone');
    expect(existsSync(at('jump.log'))).toBe(false);
    for (let n = 0; n < 2_000; n += 1) writeFileSync(at('gone', `later${n}`), '');
    await protocol.say('clean', 'last');
    const left = readdirSync(at('gone'));
    expect(left).toHaveLength(1_000);
    expect(left).toContain('last');
    expect(left).not.toContain('jump');
  });

  it('a launch that was on its way while its task was cleaned does not run', async () => {
    await protocol.launch('onway', { command: ['true'] });
    await protocol.ended('onway');
    // The wrapper alone: what is left of a launch that looked for the tombstone before there was one.
    await protocol.say('clean', 'onway');
    mkdirSync(at('tasks', 'onway'));
    const script = at('bin', 'task.sh');
    const program = `echo ran >${at('onway.log')}`;
    execFileSync(at('path', 'sh'), [script, 'run', 'onway', '-', '0', '0', '0', '/', '/usr/bin:/bin'], {
      input: program,
    });
    expect(existsSync(at('onway.log'))).toBe(false);
    expect(existsSync(at('tasks', 'onway'))).toBe(false);
  });

  it('released spool is given back to the disk, and offsets stay', async () => {
    await protocol.launch('release', { command: { shell: 'seq 1 60000' } });
    const whole = await protocol.follow('release');
    const before = statSync(at('tasks', 'release', 'out')).blocks;
    const [said] = await protocol.say('release', 'release', ['300000', '0']);
    expect(said).toBe(shell === 'busybox' ? 'refused' : 'released');
    if (said === 'released') expect(statSync(at('tasks', 'release', 'out')).blocks).toBeLessThan(before);
    expect((await protocol.follow('release', { out: 300_000, err: 0 })).stdout).toEqual(whole.stdout.subarray(300_000));
  });

  it.skipIf(!isRoot)('a task runs as another user, without reading our folder, and is killed', async () => {
    mkdirSync(at('tasks', 'user'), { recursive: true });
    writeFileSync(at('tasks', 'user', 'stdin'), 'its stdin\n', { mode: 0o600 });
    await protocol.launch('user', {
      command: { shell: 'id -un; echo "$USER $HOME"; umask; cat' },
      user: 'nobody',
      stdinFile: { path: '', bytes: 0 },
    });
    const { stdout, poll } = await protocol.follow('user');
    expect(stdout.toString()).toBe('nobody\nnobody /nonexistent\n0022\nits stdin\n');
    expect(poll.exitCode).toBe(0);
    await protocol.launch('user2', { command: { shell: 'setsid sleep 69 & sleep 70' }, user: 'nobody' });
    await until('both are up', () => processesWith('SLIPWAY_TASK=user2', 'environ').length >= 3);
    expect(await protocol.kill('user2', 2000)).toMatchObject({ exitCode: 143, signal: 'TERM' });
    expect(processesWith('SLIPWAY_TASK=user2', 'environ')).toEqual([]);
  });
});

describe.skipIf(!isRoot || !linux).each(shells.filter((shell) => whichTool(shell)))(
  'on a small disk, in %s',
  (shell) => {
    let protocol: Protocol;
    let disk: string;
    beforeAll(() => {
      disk = mkdtempSync(join(tmpdir(), 'slipway-disk-'));
      tool('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk);
      protocol = startProtocol(shell, disk);
    });
    afterAll(() => {
      tool('umount', '-l', disk);
      rmSync(disk, { recursive: true, force: true });
    });
    const fill = (): void => {
      for (const size of [65_536, 4096, 512, 1]) {
        try {
          for (;;) appendFileSync(join(disk, 'fill'), Buffer.alloc(size));
        } catch {
          // Full for this size.
        }
      }
    };

    it('what the disk has no room for is counted, and the command goes on to its true end', async () => {
      await protocol.launch('fills', { command: { shell: 'seq 1 400000; echo err >&2; exit 3' } });
      const { stdout, stderr, poll } = await protocol.follow('fills');
      const whole = Array.from({ length: 400_000 }, (_, n) => `${n + 1}\n`).join('');
      expect(poll).toMatchObject({ state: 'exited', exitCode: 3, size: { stdout: stdout.length } });
      expect(stdout.length).toBeGreaterThan(500_000);
      expect(whole.startsWith(stdout.toString())).toBe(true);
      // At the edge what was read and could not be written is not counted: at most what a pipe holds.
      const told = stdout.length + (poll.lost.stdout ?? 0);
      expect(told).toBeLessThanOrEqual(whole.length);
      expect(told).toBeGreaterThan(whole.length - 256 * 1024);
      // The other stream found no room at all, or just enough.
      expect(poll.lost.stderr === null ? stderr.toString() : '').toBe(poll.lost.stderr === null ? 'err\n' : '');
      expect(await protocol.say('clean', 'fills')).toEqual(['cleaned']);
    });

    it('a task whose output is kept whole says so', async () => {
      await protocol.launch('fits', { command: ['seq', '1', '1000'] });
      expect((await protocol.follow('fits')).poll.lost).toEqual({ stdout: null, stderr: null });
      expect(protocol.files('fits').filter((name) => !/^(start|pid|out|err|exit)/.test(name))).toEqual([]);
      expect(await protocol.say('clean', 'fits')).toEqual(['cleaned']);
    });

    it('a task that fills the disk can be killed and cleaned', async () => {
      await protocol.launch('spills', { command: { shell: 'while echo 0123456789; do :; done' } });
      await until('it has filled the disk', () => protocol.files('spills').some((name) => name.startsWith('full.out')));
      const killed = await protocol.kill('spills', 500);
      expect(killed).toMatchObject({ state: 'exited', exitCode: 143, cancelled: true });
      expect(killed.lost.stdout).toBeGreaterThan(0);
      await protocol.launch('stays', { command: ['sleep', '71'] }).catch(() => undefined);
      expect(await protocol.say('clean', 'spills')).toEqual(['cleaned']);
      await protocol.launch('stays2', { command: ['sleep', '72'] });
      fill();
      expect(await protocol.kill('stays2', 500)).toMatchObject({
        state: 'exited',
        exitCode: 143,
        cancelled: true,
        signal: 'TERM',
      });
      rmSync(join(disk, 'fill'));
    });

    it('a launch on a full disk is refused and leaves no claim', async () => {
      fill();
      expect((await protocol.launch('full', { command: { shell: 'echo ran' } })).slice(0, 2)).toEqual([
        'refused',
        'disk',
      ]);
      expect((await protocol.poll('full')).state).toBe('absent');
      rmSync(join(disk, 'fill'));
      await protocol.launch('full', { command: { shell: 'echo ran' } });
      expect((await protocol.follow('full')).stdout.toString()).toBe('ran\n');
    });
  },
);
