import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkHost } from '../../src/providers/local/host-check.ts';
import { alive, isRoot, localBench, until, type LocalBench, type TestMachine } from '../support/local-machines.ts';

/** Both tiers with a root of its own hold the same: as root the one, as an ordinary user the other, where the host allows it. */
const tier = isRoot ? 'root' : 'userns';
const check = checkHost(tier);
if (!check.ok) {
  const why = `tier ${tier} of the local provider: ${check.items.map(({ name, text }) => `${name}: ${text}`).join('; ')}`;
  console.warn(`SKIPPED: ${why}`);
  if (process.env['NO_TEST_SKIP'] === '1') throw new Error(why);
}

describe.skipIf(!check.ok)(`a machine of tier ${tier}`, () => {
  let bench: LocalBench;
  let machine: TestMachine;
  const out = async (command: string): Promise<string> => (await machine.ssh(command)).stdout.trim();
  beforeAll(async () => {
    bench = localBench({ tier });
    process.stdout.write(`tier ${tier} of the local provider\n`);
    machine = await bench.make('own.1', { diskMb: 64 });
  });
  afterAll(() => bench.close());

  it('has its own processes, host name, boot id and address, and sees none of the host’s', async () => {
    const { facts } = await bench.provider.get(machine.ref, bench.signal());
    expect(facts).toMatchObject({ tier, disk: '64 MiB', bootId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(await out('uname -n')).toBe('own-1');
    expect(await out('cat /etc/hostname')).toBe('own-1');
    expect(await out('cat /proc/sys/kernel/random/boot_id')).toBe(facts?.['bootId']);
    expect(facts?.['bootId']).not.toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    expect(await out('grep own-1 /etc/hosts')).toBe(`${machine.access.address} own-1`);
    expect(await out('ls -d /proc/[0-9]* | wc -l').then(Number)).toBeLessThan(8);
    expect(await out('cat /proc/1/comm')).toBe('sh');
  });

  it('goes also when a session in it was stopped and its provider’s process died meanwhile', async () => {
    const other = localBench({ tier });
    try {
      const there = await other.make();
      // nsenter(1) stops itself with the command that it waits for.
      void there.ssh("sh -c 'echo $$ >/stopped; kill -STOP $$'").catch(() => undefined);
      await until(async () => ((await there.ssh('cat /stopped')).stdout === '' ? undefined : true));
      const state = () => there.ssh('ps -o stat= -p $(cat /stopped)');
      await until(async () => ((await state()).stdout.startsWith('T') ? true : undefined));
      await other.kill();
      await other.noticed(there.ref);
      await other.destroyed(there.ref);
      expect(await other.remains()).toEqual([]);
    } finally {
      await other.close();
    }
  });

  it('hides the state folder and the homes of the host', async () => {
    expect(await out('ls -A /root /home | grep -v :')).toBe('');
    expect(await out(`ls ${dirname(bench.folder)} 2>&1 >/dev/null | wc -l`)).toBe('1');
    expect(await out('ls -A /tmp')).toBe('');
    expect(await out('ls /etc/ssh/ssh_host_* 2>/dev/null | wc -l')).toBe('0');
    expect(await out('stat -c %a /tmp /root / /etc')).toBe(['1777', '700', mode('/'), mode('/etc')].join('\n'));
  });

  it('hides a state folder that lies elsewhere on the host', async () => {
    const parent = '/var/tmp/slipway-test-state';
    mkdirSync(parent, { recursive: true });
    const other = localBench({ tier }, parent);
    try {
      const there = await other.make();
      expect(await there.ssh(`ls ${parent}/*; ls -d ${dirname(other.folder)}`)).toMatchObject({ code: 2 });
    } finally {
      await other.close();
    }
    // Throws when anything is left in it.
    rmdirSync(parent);
  });

  it('keeps its files, users and groups over a reboot, has a new boot id, and drops its connections', async () => {
    await machine.ssh('groupadd crew && useradd -g crew eve && echo 1 >/etc/own.conf && echo 2 >/root/f && sync');
    const before = await out('cat /proc/sys/kernel/random/boot_id');
    const answer = await machine.ssh('echo going; reboot; sleep 20; echo never');
    expect(answer).toMatchObject({ code: 255, stdout: 'going\n' });
    await until(async () => ((await out('cat /proc/sys/kernel/random/boot_id')) || before) !== before || undefined);
    expect(await out('id -gn eve; cat /etc/own.conf /root/f')).toBe('crew\n1\n2');
    expect(await out('ls -d /proc/[0-9]* | wc -l').then(Number)).toBeLessThan(8);
  });

  it('gives its processes a TERM at a reboot, and none at a forced one', async () => {
    const leave = 'trap "echo term >>/root/said; exit" TERM; echo up >>/root/said; while :; do sleep 0.05; done';
    const start = `rm -f /root/said; setsid sh -c '${leave}' >/dev/null 2>&1 </dev/null & until [ -s /root/said ]; do sleep 0.02; done`;
    for (const [command, said] of [
      ['reboot', 'up\nterm'],
      ['reboot -f', 'up'],
    ] as const) {
      await machine.ssh(start);
      const before = await out('cat /proc/sys/kernel/random/boot_id');
      await machine.ssh(command);
      await until(async () => ((await out('cat /proc/sys/kernel/random/boot_id')) || before) !== before || undefined);
      expect(await out('cat /root/said')).toBe(said);
    }
  });

  it('has a disk of the asked size, and a full one is an ordinary error', async () => {
    const { stderr, code } = await machine.ssh('head -c 100M /dev/zero >/root/big');
    expect({ code, full: /No space left/.test(stderr) }).toEqual({ code: 1, full: true });
    await machine.ssh('rm /root/big');
  });

  it('keeps no zombies', async () => {
    await machine.ssh('for i in 1 2 3 4 5; do (setsid sh -c "sleep 0.05" &) ; done');
    await until(
      async () =>
        (await out('ls -d /proc/[0-9]* | wc -l; grep -l "^State:.Z" /proc/[0-9]*/status')).length < 3 || undefined,
    );
  });

  it('that is powered off is stopped, and destroyed like any other', async () => {
    const one = await bench.make();
    await one.ssh('poweroff -f');
    expect(await bench.seen(one.ref, 'stopped')).not.toHaveProperty('access');
    await bench.destroyed(one.ref);
  });

  it('whose keeper is killed takes every process and mount with it, and is stopped', async () => {
    const one = await bench.make();
    const keeper = Number(
      readFileSync(join(bench.folder, 'machines', one.ref['id'] ?? '', 'keeper'), 'utf8').split(' ')[0],
    );
    const boot = Number(
      readFileSync(join(bench.folder, 'machines', one.ref['id'] ?? '', 'boot'), 'utf8').split(' ')[0],
    );
    process.kill(keeper, 'SIGKILL');
    await bench.seen(one.ref, 'stopped');
    expect(alive(boot)).toBe(false);
    await bench.destroyed(one.ref);
  });

  it('that cannot be made leaves nothing, and says why', async () => {
    // Half a megabyte of template does not fit a disk that something else has filled; too small is refused at the door.
    await expect(bench.make('tiny.1', { diskMb: 1 })).rejects.toMatchObject({ type: 'InvalidRequest' });
    await expect(bench.make('tiny.1', { diskMb: 'big' })).rejects.toMatchObject({ type: 'InvalidRequest' });
    expect(await bench.provider.list(bench.installation, bench.signal())).toHaveLength(1);
  });

  it('that is torn apart from inside leaves the host as it was', async () => {
    const one = await bench.make('wild.1');
    const witness = join(dirname(dirname(bench.folder)), 'witness');
    writeFileSync(witness, 'here');
    const sysctl = '/proc/sys/vm/swappiness';
    const host = () => ({
      swappiness: readFileSync(sysctl, 'utf8'),
      hostname: hostname(),
      devices: readdirSync('/dev').sort().join(' '),
      etc: readdirSync('/etc').sort().join(' '),
      root: isRoot ? readdirSync('/root').sort().join(' ') : '',
      top: readdirSync('/').sort().join(' '),
      mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
      witness: readFileSync(witness, 'utf8'),
    });
    const before = host();
    const refused = async (command: string): Promise<void> => {
      expect((await one.ssh(command)).code, command).not.toBe(0);
    };
    await refused('echo 1 >/proc/sys/vm/swappiness');
    await refused('! command -v sysctl >/dev/null && exit 9; sysctl -w vm.swappiness=1');
    await refused('mknod /tmp/disk b 8 0');
    await refused('mknod /tmp/mem c 1 1');
    await refused('mount -t devtmpfs none /mnt');
    await refused('mount -o remount,rw /proc/sys');
    await refused('mount -o remount,rw /sys');
    await refused('hostname hacked');
    await refused('date -s 2001-01-01');
    await refused('echo b >/proc/sysrq-trigger');
    await refused('echo 1 >/sys/kernel/mm/ksm/run');
    await refused('ip link add x type dummy 2>/dev/null');
    await refused('test -e /dev/mem || test -e /dev/kmsg || test -e /dev/sda || test -e /dev/vda');
    await refused('cat /proc/kcore | head -c 1 | grep -q .');
    await one.ssh('rm -f /dev/null /dev/zero; kill -9 -1');
    const self = process.pid;
    await one.ssh(`kill -9 ${self} ${bench.process()?.pid}`);
    await one.ssh('rm -rf --no-preserve-root / 2>/dev/null');
    expect(host()).toEqual(before);
    expect(existsSync('/bin/sh') && statSync('/dev/null').isCharacterDevice()).toBe(true);
    await bench.destroyed(one.ref);
    const two = await bench.make('wild.2');
    // Its power is over itself alone.
    expect((await two.ssh('reboot -f')).code).toBe(255);
    await bench.seen(two.ref, 'running');
    await bench.destroyed(two.ref);
    expect(host()).toEqual(before);
  });
});

const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);
