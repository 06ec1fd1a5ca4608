import { spawn } from 'node:child_process';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Verdict } from '../../src/domain/check-in.ts';
import type { CheckInIdentity, GuestPost } from '../../src/domain/guest-post.ts';
import { checkInScript } from '../../src/guest/check-in.ts';
import { nameOf, secretOf } from '../../src/rendezvous/identity.ts';
import { createSurface } from '../../src/rendezvous/surface.ts';
import { rendezvousTls } from '../../src/rendezvous/tls.ts';
import { freshFolder } from '../output/store-kit.ts';

export const installationKey = new Uint8Array(32).fill(7);
export const web: CheckInIdentity = { machineId: 'web.1', birth: '0e2c', generation: 1 };

/** The surface on loopback, with what it has taken to machines and logged. */
export async function openSurface(verdictOf: (post: GuestPost) => Verdict = () => 'taken') {
  const posts: { who: CheckInIdentity; post: GuestPost }[] = [];
  const logged: Record<string, unknown>[] = [];
  const logger = pino({ level: 'debug' }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const { app, counts } = createSurface({
    installationKey,
    post: async (who, post) => {
      posts.push({ who, post });
      return verdictOf(post);
    },
    lastStage: async (who) => {
      const verdict = verdictOf({ key: who.machineId, generation: who.generation, source: '' });
      return verdict === 'taken'
        ? { text: `#!/bin/sh\necho 'the last stage ran' >"\${0%/*}/ran"\n` }
        : { refused: verdict };
    },
    logger,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const counted = () => Object.fromEntries([...counts].filter(([, count]) => count > 0));
  return { app, port, posts, logged, counted, [Symbol.asyncDispose]: () => app.close() };
}

/** Programs that the guest's script needs of a guest, by tool that calls home. */
const tools = ['sh', 'sed', 'mktemp', 'rm', 'cat', 'head', 'tail', 'sleep', 'uname', 'dirname', 'cp', 'env', 'wc'];

export interface GuestOptions {
  readonly port: number;
  readonly who?: CheckInIdentity;
  readonly secret?: string;
  readonly pin?: string;
  readonly places?: string;
  readonly by?: 'curl' | 'python3';
}

/** A guest that has its script and boot string, and no other program that could call home than the one. */
export async function guestOf({ port, who = web, secret, pin, places, by = 'curl' }: GuestOptions) {
  const folder = await freshFolder();
  const bin = join(folder, 'bin');
  await mkdir(bin);
  for (const tool of [...tools, by]) await symlink(await pathOf(tool), join(bin, tool));
  const address = `${places ?? `127.0.0.1:${port}`};${pin ?? rendezvousTls(installationKey).pin}`;
  await writeFile(
    join(folder, 'boot-string'),
    `${nameOf(who)}:${address}:${secret ?? secretOf(installationKey, who)}\n`,
  );
  // Its own PATH only.
  await writeFile(join(folder, 'check-in'), checkInScript.replace(/^LC_ALL=C PATH=.*$/m, `LC_ALL=C PATH=${bin}`));
  await chmod(join(folder, 'check-in'), 0o755);
  const run = (words: readonly string[], input = '') =>
    new Promise<{ code: number | null; said: string }>((resolve, reject) => {
      const child = spawn('sh', [join(folder, 'check-in'), ...words], { env: { CHECK_IN_TRIES: '2' } });
      let said = '';
      child.stdout.on('data', (chunk) => (said += String(chunk)));
      child.stderr.on('data', (chunk) => (said += String(chunk)));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, said }));
      child.stdin.end(input);
    });
  return { folder, run };
}

const pathOf = (tool: string): Promise<string> =>
  new Promise((resolve, reject) => {
    // pyenv's shims need more of a PATH than a guest has.
    const ask =
      tool === 'python3' ? ['python3', '-c', 'import sys; print(sys.executable)'] : ['sh', '-c', `command -v ${tool}`];
    const child = spawn(ask[0] ?? '', ask.slice(1));
    let said = '';
    child.stdout.on('data', (chunk) => (said += String(chunk)));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(said.trim()) : reject(new Error(`no ${tool}`))));
  });
