import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { linesIn } from '../../src/guest/marked-stream.ts';
import { newNonce, resetScript } from '../../src/guest/scripts.ts';
import { readBoot } from '../../src/providers/local/root-boot.ts';
import { isRoot, localBench, type TestMachine } from '../support/local-machines.ts';
import { before, tracesAtHome, tracesOfRoot, type Trace } from '../support/traces.ts';
import { shells, toolsOf, whichTool } from './protocol.ts';

vi.setConfig({ testTimeout: 300_000 });

const base = '/var/lib/slipway';
const script = `${base}/bin/reset.sh`;

/** A machine with a root of its own, entered with all rights of root: a tenant may have them on a real one. */
describe.skipIf(!isRoot).each(shells.filter((shell) => whichTool(shell)))(
  'the reset protocol on a whole machine, in %s',
  (shell) => {
    const bench = localBench({ idleMs: 60_000, tier: 'root' });
    const tag = String(randomInt(10_000, 60_000));
    const listening = `grep -i ':${Number(tag).toString(16)} .* 0A ' /proc/net/tcp /proc/net/tcp6`;
    const traces: readonly Trace[] = [
      ...tracesAtHome(tag),
      ...tracesOfRoot(tag),
      {
        what: 'a mount',
        leave: 'mkdir -p /mnt/m && mount -t tmpfs tenant /mnt/m && echo secret >/mnt/m/it',
        look: 'ls /mnt/m/it',
      },
      { what: 'a name of the host', leave: 'hostname one-was-here', look: 'uname -n | grep one-was-here' },
      {
        what: 'a port that is listened on',
        leave: `setsid busybox nc -l -p ${tag} </dev/null >/dev/null 2>&1 & until ${listening}; do sleep 0.05; done`,
        look: listening,
      },
    ];
    let machine: TestMachine;
    let digest: string;
    const enter = async (words: readonly string[], input = ''): Promise<Buffer> => {
      const pid = readBoot(join(bench.folder, 'machines', machine.ref['id'] ?? ''))?.pid;
      const env = ['env', '-i', 'HOME=/root', `BASE=${base}`, 'PATH=/var/lib/bb:/usr/sbin:/usr/bin:/sbin:/bin'];
      const child = spawn(
        whichTool('nsenter') ?? 'nsenter',
        ['-t', String(pid), '-m', '-u', '-i', '-p', '--', ...env, ...words],
        {
          cwd: '/',
          stdio: ['pipe', 'pipe', 'ignore'],
          detached: true,
        },
      );
      const out: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.stdin.on('error', () => undefined).end(input);
      await new Promise((resolve) => child.once('close', resolve));
      return Buffer.concat(out);
    };
    const sh = async (text: string): Promise<string> => (await enter(['sh', '-c', text])).toString();
    const say = async (verb: string, of: string): Promise<readonly (readonly string[])[]> => {
      const nonce = newNonce();
      return linesIn(
        nonce,
        await enter(
          [shell, script, verb].flatMap((word) => (word === 'busybox' ? ['busybox', 'sh'] : [word])),
          `${nonce}\n${of}\n`,
        ),
      );
    };
    const left = async (verb: 'reset' | 'compare'): Promise<readonly string[]> => {
      const lines = await say(verb, digest);
      expect(lines.at(-1)?.[0]).toBe('end');
      return lines.slice(0, -1).map(([, ...words]) => words.join(' '));
    };
    const seen = async (): Promise<readonly string[]> => {
      const looks = traces.map(({ look }, n) => `[ -z "$( (${look}) 2>/dev/null)" ] || echo ${n}`);
      const found = (await sh(looks.join('\n'))).split('\n').filter((line) => line !== '');
      return found.map((n) => traces[Number(n)]?.what ?? n);
    };
    const leaveAll = (): Promise<string> => sh(traces.map(({ leave }) => `(${leave}\n) 2>/dev/null`).join('\n'));

    beforeAll(async () => {
      machine = await bench.make(`whole-${shell}.1`);
      const links = toolsOf(shell).map((name) => `ln -s ${whichTool(shell) ?? ''} '/var/lib/bb/${name}'`);
      await enter(['/bin/sh'], `mkdir -p /var/lib/bb ${base}/bin\n${links.join('\n')}\n${before}\n`);
      await enter(['/bin/sh', '-c', `cat >${script}`], resetScript.replace(/^PATH=/m, 'PATH=/var/lib/bb:'));
      const [said = []] = await say('baseline', '-');
      expect(said[0]).toBe('ok');
      digest = said[1] ?? '';
    });
    afterAll(async () => {
      bench.knobs({ idleMs: 10 });
      await bench.close();
    });

    it('finds nothing different where nobody was', async () => {
      expect(await seen()).toEqual([]);
      expect(await left('compare')).toEqual([]);
    });

    it('takes away everything that a tenant leaves, and tells what was changed where nothing can be brought back', async () => {
      await leaveAll();
      await sh(
        `echo >>/usr/bin/env; for folder in /usr/lib /var/lib; do mkdir -p $folder/tenant && echo secret >$folder/tenant/it; done`,
      );
      expect(await seen()).toEqual(traces.map(({ what }) => what));
      const changed = ['/usr/bin/env', '/usr/lib/tenant/it', '/var/lib/tenant/it'];
      // Others may be at work on this host, whose root shows below.
      const found = await left('reset');
      expect(found).toEqual(expect.arrayContaining(changed.map((path) => `newer ${path}`)));
      expect(found.filter((line) => !line.startsWith('newer '))).toEqual([]);
      expect(await seen()).toEqual([]);
    });
  },
);
