import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import ssh2, { type ClientChannel, type ConnectConfig } from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { opensshKeyPair } from '../../src/guest/openssh-key.ts';
import { isRoot, localBench, run, type LocalBench, type TestMachine } from '../support/local-machines.ts';

const megabyte = 1_048_576;

describe('SSH of a local machine', () => {
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench();
  });
  let machine: TestMachine;
  beforeAll(async () => {
    machine = await bench.make('web.1');
  });
  afterAll(() => bench.close());

  const connect = async (options: Partial<ConnectConfig> = {}): Promise<InstanceType<typeof ssh2.Client>> => {
    const client = new ssh2.Client();
    const { address, port, user } = machine.access;
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({ host: address, port, username: user, privateKey: bench.clientKey.privateKey, ...options });
    });
    client.on('error', () => undefined);
    return client;
  };
  const exec = (client: InstanceType<typeof ssh2.Client>, command: string): Promise<ClientChannel> =>
    new Promise((resolve, reject) =>
      client.exec(command, (error, channel) => (error ? reject(error) : resolve(channel))),
    );
  const ended = (channel: ClientChannel): Promise<{ code: number | null; signal: string | undefined; out: string }> =>
    new Promise((resolve) => {
      let out = '';
      let exit: { code: number | null; signal: string | undefined } = { code: null, signal: undefined };
      channel.on('data', (chunk: Buffer) => (out += chunk.toString()));
      channel.stderr.resume();
      channel.on('exit', (code: number | null, signal?: string) => (exit = { code, signal }));
      channel.once('close', () => resolve({ ...exit, out }));
    });

  it('a command has its two streams apart, its exit code, its home and its machine in the environment', async () => {
    expect(await machine.ssh('echo out; echo err >&2; exit 7')).toEqual({ code: 7, stdout: 'out\n', stderr: 'err\n' });
    const { stdout } = await machine.ssh('pwd; echo "$HOME $USER $SLIPWAY_ADDRESS"');
    const [home, line] = stdout.trim().split('\n');
    expect(line).toBe(`${home} ${machine.access.user} ${machine.access.address}`);
  });

  it('a command reads stdin to its end', async () => {
    const { stdout } = await machine.ssh('wc -c', 'x'.repeat(3 * megabyte));
    expect(Number(stdout)).toBe(3 * megabyte);
  });

  it('a command that a signal ends says which', async () => {
    const client = await connect();
    expect(await ended(await exec(client, 'kill -TERM $$'))).toMatchObject({ signal: 'SIGTERM' });
    client.end();
  });

  it('variables of the client arrive inside, and those that steer a loader do nothing outside', async () => {
    const client = await connect();
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      client.exec(
        'printf "%s|" "$GREETING" "$LD_PRELOAD"; env | grep -c SLIPWAY_SET_; true',
        { env: { GREETING: 'a "b" $c `d` \'e\'', LD_PRELOAD: '/nowhere.so', 'NO-NAME': 'x', 'a;b': 'y' } },
        (error, opened) => (error ? reject(error) : resolve(opened)),
      ),
    );
    expect((await ended(channel)).out).toBe('a "b" $c `d` \'e\'|/nowhere.so|0\n');
    client.end();
  });

  it('only injected keys log in, and those that the user adds inside', async () => {
    const stranger = opensshKeyPair(Buffer.alloc(32, 7), 'stranger');
    const key = { privateKey: stranger.privateKey };
    await expect(connect(key)).rejects.toThrow(/authentication/i);
    await machine.ssh(
      'umask 077; mkdir -p ~/.ssh; cat >~/.ssh/authorized_keys',
      `# mine\n${stranger.publicKey} comment\n`,
    );
    const client = await connect(key);
    expect(await ended(await exec(client, 'echo in'))).toMatchObject({ code: 0, out: 'in\n' });
    client.end();
    await machine.ssh('rm ~/.ssh/authorized_keys; mkfifo ~/.ssh/authorized_keys');
    await expect(connect(key)).rejects.toThrow(/authentication/i);
    await machine.ssh('rm ~/.ssh/authorized_keys');
    await expect(connect({ password: 'x', privateKey: '' })).rejects.toThrow();
  });

  it('the host key is the injected one', async () => {
    const { address, port } = machine.access;
    const scan = await run('ssh-keyscan', ['-t', 'ed25519', '-p', String(port), address]);
    expect(scan.stdout).toContain(bench.hostKey.publicKey);
  });

  it('many channels of one connection run at once', async () => {
    const client = await connect();
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => ended(await exec(client, `sleep 0.1; echo ${n}`))),
    );
    expect(answers.map(({ out }) => Number(out))).toEqual(Array.from({ length: 20 }, (_, n) => n));
    client.end();
  });

  it('256 MiB of output arrive byte for byte, while the process stays small', async () => {
    const bytes = 256 * megabyte;
    const pid = bench.process()?.pid ?? 0;
    const residentMb = (): number =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
    const before = residentMb();
    let peak = 0;
    const looking = setInterval(() => (peak = Math.max(peak, residentMb())), 20);
    const child = spawn('ssh', [...machine.sshArgs, `head -c ${bytes} /dev/zero`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const hash = createHash('sha256');
    let seen = 0;
    for await (const chunk of child.stdout) {
      seen += (chunk as Buffer).length;
      hash.update(chunk as Buffer);
    }
    clearInterval(looking);
    expect(seen).toBe(bytes);
    expect(hash.digest('hex')).toBe('a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484');
    expect(peak - before).toBeLessThan(150);
  });

  it('a reader that stalls stops the writer, and the process stays small', async () => {
    const client = await connect();
    const channel = await exec(client, 'head -c 67108864 /dev/zero');
    let seen = 0;
    channel.on('data', (chunk: Buffer) => (seen += chunk.length));
    channel.stderr.resume();
    channel.pause();
    const other = await ended(await exec(client, 'sleep 0.3; echo still here'));
    expect(other.out).toBe('still here\n');
    expect(seen).toBeLessThan(67_108_864);
    channel.resume();
    await new Promise((resolve) => channel.once('close', resolve));
    expect(seen).toBe(67_108_864);
    client.end();
  });

  it('both streams go on after both have waited for a slow reader', async () => {
    const client = await connect();
    const channel = await exec(
      client,
      'head -c 20971520 /dev/zero & head -c 5242880 /dev/zero >&2; wait; echo end >&2',
    );
    const seen = { stdout: 0, stderr: 0 };
    channel.pause();
    channel.stderr.pause();
    // Another command's end shows that both windows have had the time to fill.
    await ended(await exec(client, 'sleep 0.3'));
    channel.on('data', (chunk: Buffer) => (seen.stdout += chunk.length));
    channel.stderr.on('data', (chunk: Buffer) => (seen.stderr += chunk.length));
    channel.resume();
    channel.stderr.resume();
    await new Promise((resolve) => channel.once('close', resolve));
    expect(seen).toEqual({ stdout: 20_971_520, stderr: 5_242_884 });
    client.end();
  });

  it('a shell has a terminal of the asked size, which follows the client’s window', async () => {
    const client = await connect();
    const shell = await new Promise<ClientChannel>((resolve, reject) =>
      client.shell({ term: 'xterm', rows: 33, cols: 99 }, (error, opened) => (error ? reject(error) : resolve(opened))),
    );
    let said = '';
    shell.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const heard = async (text: RegExp): Promise<void> => expect.poll(() => said, { timeout: 10_000 }).toMatch(text);
    shell.write('stty size; tty; echo "$TERM-$0"\n');
    await heard(/33 99\r\n\/dev\/pts\/\d+\r\nxterm-/);
    shell.setWindow(44, 111, 0, 0);
    await expect
      .poll(
        () => {
          said = '';
          shell.write('stty size\n');
          return new Promise((resolve) => setTimeout(() => resolve(said), 100));
        },
        { timeout: 10_000 },
      )
      .toMatch(/44 111\r\n/);
    shell.write('exit 5\n');
    const code = await new Promise((resolve) => shell.once('exit', resolve));
    expect(code).toBe(5);
    client.end();
  });

  it('files come and go with scp, and ports are forwarded', async () => {
    const { address, port, user } = machine.access;
    const args = machine.sshArgs.slice(0, -1).map((word) => (word === '-p' ? '-P' : word));
    expect(await run('scp', [...args, '/etc/hostname', `${user}@${address}:copied`])).toMatchObject({ code: 0 });
    expect((await machine.ssh('cat copied')).stdout).toBe(readFileSync('/etc/hostname', 'utf8'));
    const through = await run('ssh', [
      ...machine.sshArgs.slice(0, -1),
      '-W',
      `${address}:${port}`,
      `${user}@${address}`,
    ]);
    expect(through.stdout).toMatch(/^SSH-2.0-slipway-local/);
  });

  it.skipIf(!isRoot)('another user of the machine logs in with keys of its own, without capabilities', async () => {
    await machine.ssh(
      'useradd -m -s /bin/sh ana && install -d -o ana -m 700 ~ana/.ssh && cat >~ana/.ssh/authorized_keys',
      bench.clientKey.publicKey,
    );
    const client = await connect({ username: 'ana' });
    const { out } = await ended(
      await exec(client, 'id -un; pwd; grep CapEff /proc/self/status; touch /etc/x; sudo -n true; echo $?'),
    );
    expect(out).toMatch(/^ana\n\/home\/ana\nCapEff:\t0+\n[1-9]/);
    client.end();
    await expect(connect({ username: 'nobody' })).rejects.toThrow(/authentication/i);
    await expect(connect({ username: 'no-such-user' })).rejects.toThrow(/authentication/i);
  });

  it.skipIf(!isRoot)('a job of root runs as another user, by setpriv and by sudo where it is installed', async () => {
    expect(await machine.ssh('setpriv --reuid nobody --regid nogroup --clear-groups id -un')).toMatchObject({
      stdout: 'nobody\n',
    });
    expect(await machine.ssh('! command -v sudo >/dev/null || sudo -n -u nobody id -un')).toMatchObject({ code: 0 });
  });
});
