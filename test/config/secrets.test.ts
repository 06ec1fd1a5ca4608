import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  createSecrets,
  forgetSealedSecrets,
  openSealedSecret,
  resolveSecret,
  sealSecret,
} from '../../src/config/secrets.ts';
import { runSecretCommand } from '../../src/config/secret-command.ts';
import { readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { bytesOf, freshFolder, noise } from '../output/store-kit.ts';

const planted = 'hunter2-planted-value';

async function fresh(settings?: string) {
  const folder = await freshFolder();
  const state = stateFolder(join(folder, '.slipway'));
  if (settings !== undefined) await writeFile(state.config, settings);
  return { folder, state, key: new Uint8Array(noise(32)) };
}

describe('a caller’s sealed secret', () => {
  it('opens for its lease and name only, and lies encrypted in a file of its owner', async () => {
    const { state, key } = await fresh();
    await sealSecret(state, key, 'web', 'TOKEN/../x', planted);
    await sealSecret(state, key, 'web', 'bytes', bytesOf('grüße\n'));
    expect(await openSealedSecret(state, key, 'web', 'TOKEN/../x')).toBe(planted);
    expect(await openSealedSecret(state, key, 'web', 'bytes')).toBe('grüße\n');
    const files = (await readdir(join(state.sealed, 'web'))).map((name) => join(state.sealed, 'web', name));
    expect(files).toHaveLength(2);
    for (const file of files) {
      expect((await readFile(file)).includes(planted)).toBe(false);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
    }
    expect((await stat(join(state.sealed, 'web'))).mode & 0o777).toBe(0o700);
    await expect(openSealedSecret(state, key, 'other', 'bytes')).rejects.toMatchObject({ type: 'NotFound' });
  });

  it('does not open under another key, when moved to another name, or when altered', async () => {
    const { state, key } = await fresh();
    await sealSecret(state, key, 'web', 'a', planted);
    await sealSecret(state, key, 'web', 'b', 'other');
    await expect(openSealedSecret(state, new Uint8Array(32), 'web', 'a')).rejects.toMatchObject({ type: 'Internal' });
    const [one = '', two = ''] = (await readdir(join(state.sealed, 'web'))).map((name) =>
      join(state.sealed, 'web', name),
    );
    const bytes = await readFile(one);
    await rename(two, one);
    await writeFile(two, bytes);
    for (const name of ['a', 'b']) {
      await expect(openSealedSecret(state, key, 'web', name)).rejects.toMatchObject({ type: 'Internal' });
    }
    await writeFile(one, '');
    await writeFile(two, Buffer.concat([bytes.subarray(0, -1), Buffer.of((bytes.at(-1) ?? 0) ^ 1)]));
    for (const name of ['a', 'b']) {
      await expect(openSealedSecret(state, key, 'web', name)).rejects.toMatchObject({ type: 'Internal' });
    }
  });

  it('is replaced by a later one, and forgotten with its lease, also twice', async () => {
    const { state, key } = await fresh();
    await sealSecret(state, key, 'web', 'a', 'one');
    await sealSecret(state, key, 'web', 'a', 'two');
    await sealSecret(state, key, 'web-2', 'a', 'stays');
    const secrets = createSecrets(state, key);
    expect(await secrets.value('web', 'lease:a')).toBe('two');
    await secrets.forget('web');
    await forgetSealedSecrets(state, 'web');
    await expect(secrets.value('web', 'lease:a')).rejects.toMatchObject({ type: 'NotFound' });
    expect(await secrets.value('web-2', 'lease:a')).toBe('stays');
  });

  it('is refused, without being shown, when it cannot be an environment variable', async () => {
    const { state, key } = await fresh();
    for (const value of [`${planted}\0`, planted.repeat(4000), Buffer.concat([bytesOf(planted), Buffer.of(255)])]) {
      const failure = await sealSecret(state, key, 'web', 'a', value).catch((error: unknown) => error);
      expect(failure).toMatchObject({ type: 'InvalidRequest' });
      expect(inspect(failure)).not.toContain(planted);
    }
    await expect(sealSecret(state, key, '../web', 'a', 'x')).rejects.toMatchObject({ type: 'InvalidRequest' });
    await expect(forgetSealedSecrets(state, '..')).rejects.toMatchObject({ type: 'InvalidRequest' });
    await expect(sealSecret(state, key, 'web', '', 'x')).rejects.toMatchObject({ type: 'InvalidRequest' });
  });
});

describe('an operator’s secret', () => {
  it('comes from a file, the environment or a command, without its last newline', async () => {
    const { state, folder, key } = await fresh(`secrets:
  file: {file: token}
  env: {env: SLIPWAY_TEST_SECRET}
  command: {command: [printf, '%s\\n\\n', 'from $(command)']}
  here: {command: [cat, token]}
`);
    await writeFile(join(folder, 'token'), 'from file\r\n');
    process.env.SLIPWAY_TEST_SECRET = 'from env\n';
    const settings = await readSettings(state);
    expect(await resolveSecret(settings, 'file')).toBe('from file');
    expect(await resolveSecret(settings, 'env')).toBe('from env\n');
    expect(await resolveSecret(settings, 'command')).toBe('from $(command)\n');
    expect(await createSecrets(state, key).value('any', 'here')).toBe('from file');
  });

  it('that is not there says so and nothing more', async () => {
    const { state, folder } = await fresh(`secrets:
  file: {file: nowhere}
  env: {env: SLIPWAY_TEST_NOWHERE}
  fails: {command: [sh, -c, 'echo ${planted}; echo ${planted} >&2; exit 3']}
  missing: {command: [/nowhere/no-such-program, ${planted}]}
  killed: {command: [sh, -c, 'kill -9 $$']}
  long: {command: [sh, -c, 'while :; do echo ${planted}; done']}
  binary: {file: binary}
`);
    await writeFile(join(folder, 'binary'), Buffer.concat([bytesOf(planted), Buffer.of(255)]));
    const settings = await readSettings(state);
    const said = async (name: string) => {
      const failure = await resolveSecret(settings, name).catch((error: unknown) => error as Error);
      expect(inspect(failure, { depth: 9 })).not.toContain(planted);
      return (failure as Error).message;
    };
    expect(await said('file')).toBe(`Secret \`file\` could not be had: ${join(folder, 'nowhere')} is not there.`);
    expect(await said('env')).toContain('the environment has no SLIPWAY_TEST_NOWHERE');
    expect(await said('fails')).toContain('its command sh exited with 3');
    expect(await said('missing')).toContain('its command /nowhere/no-such-program was not found');
    expect(await said('killed')).toContain('was ended by SIGKILL');
    expect(await said('long')).toContain('printed more than 65536 bytes');
    expect(await said('binary')).toContain('not UTF-8');
    expect(await said('flie')).toBe('No secret `flie`. Near: file.');
    expect(await said('constructor')).toBe('No secret `constructor`.');
  });

  it('is not waited for beyond its time, and what its command started ends with it', async () => {
    const folder = await freshFolder();
    const end = await runSecretCommand(['sh', '-c', 'sleep 60 & echo $! >pid; wait'], folder, 300);
    expect(end).toEqual({ ok: false, why: 'took longer than 300 ms' });
    const pid = Number(await readFile(join(folder, 'pid'), 'utf8'));
    // A zombie is dead, too: who reaps it is not our matter.
    const stateOf = async (): Promise<string> =>
      readFile(`/proc/${pid}/stat`, 'utf8').then(
        (text) => (/\) Z /.test(text) ? 'gone' : 'alive'),
        () => 'gone',
      );
    await expect.poll(stateOf).toBe('gone');
  });
});
