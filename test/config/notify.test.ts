import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { admitNotify } from '../../src/config/notify.ts';
import { checkSettings, readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import { DomainError } from '../../src/domain/failure.ts';
import { freshFolder } from '../output/store-kit.ts';

async function withSettings(text: string) {
  const state = stateFolder(join(await freshFolder(), '.slipway'));
  await writeFile(state.config, text);
  return state;
}

/** What a lease that wants this told is answered; undefined when it is taken. */
async function refusal(text: string, url: string, secret = 'hook'): Promise<DomainError | undefined> {
  const settings = await readSettings(await withSettings(text));
  try {
    admitNotify(settings, { leaseId: 'web', bundle: 'hello', notify: { url, secret } });
    return undefined;
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}

const secrets = 'secrets: {hook: {env: HOOK}, deploy: {env: DEPLOY}}\n';

describe('a lease that wants somebody told', () => {
  it('is taken for any host, as long as the operator names none', async () => {
    expect(await refusal(secrets, 'http://127.0.0.1:9/')).toBeUndefined();
    expect(await refusal(secrets, 'https://ci.example.com/hook')).toBeUndefined();
  });

  it('is refused with a secret that the operator does not have, with the near ones', async () => {
    const refused = await refusal(secrets, 'https://ci.example.com/', 'hok');
    expect(refused).toMatchObject({
      type: 'InvalidRequest',
      message: 'Lease web: notify.secret: No secret `hok`. Near: hook.',
    });
    expect(refused?.hint).toMatch(/^The operator names secrets under `secrets:` of .*slipway\.yaml\.$/);
  });

  it('is refused with a host that the operator does not name', async () => {
    const allowing = `${secrets}notify: {allow: [ci.example.com, '*.example.org', '[::1]:8080']}\n`;
    expect(await refusal(allowing, 'https://CI.example.com/hook')).toBeUndefined();
    expect(await refusal(allowing, 'https://a.example.org/')).toBeUndefined();
    expect(await refusal(allowing, 'http://[::1]:8080/')).toBeUndefined();
    const refused = await refusal(allowing, 'http://10.0.0.1:81/secret-path');
    expect(refused).toMatchObject({
      type: 'InvalidRequest',
      message: 'Lease web: notify.url: 10.0.0.1:81 is not among the hosts that may be called.',
    });
    expect(refused?.hint).toContain('`notify: {allow: [host]}`');
    expect((await refusal(`${secrets}notify: {allow: []}\n`, 'http://127.0.0.1/'))?.type).toBe('InvalidRequest');
  });
});

it.each(['https://ci.example.com', 'ci.example.com/hook', '*', '*.', 'a b', ''])(
  'slipway.yaml takes hosts to call, and not %j',
  async (entry) => {
    const mistakes = await checkSettings(await withSettings(`notify:\n  allow: [${JSON.stringify(entry)}]\n`));
    expect(mistakes.map(mistakeText)).toEqual([
      expect.stringMatching(/slipway\.yaml:2:11.*must be a host such as hooks\.example\.com/),
    ]);
  },
);
