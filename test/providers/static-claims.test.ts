import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Inventory } from '../../src/domain/inventory.ts';
import { createClaims } from '../../src/providers/static/claims.ts';
import { versionedFiles } from '../../src/providers/static/versioned-files.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slipway-claims-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('versioned files', () => {
  it('give each next version to one of many', async () => {
    const clients = Array.from({ length: 6 }, () => versionedFiles<number>(folder));
    for (let version = 0; version < 20; version += 1) {
      const won = await Promise.all(clients.map((client, n) => client.replace('box', version, n)));
      expect(won.filter(Boolean)).toHaveLength(1);
      expect(await clients[0]?.latest('box')).toEqual({ version: version + 1, value: won.indexOf(true) });
    }
    expect(readdirSync(folder)).toEqual(['box.20']);
  });

  it('take nothing from one who comes after a version that is removed already', async () => {
    const files = versionedFiles<string>(folder);
    for (const [before, value] of ['a', 'b', 'c'].entries())
      expect(await files.replace('box', before, value)).toBe(true);
    expect(await files.replace('box', 0, 'late')).toBe(false);
    expect(await files.replace('box', 1, 'late')).toBe(false);
    expect(await files.latest('box')).toEqual({ version: 3, value: 'c' });
    expect(readdirSync(folder)).toEqual(['box.3']);
  });

  it('tell names apart that begin alike or end in numbers', async () => {
    const files = versionedFiles<string>(folder);
    for (const name of ['box', 'box.1', 'box.1.2']) {
      await files.replace(name, 0, name);
      await files.replace(name, 1, `${name} again`);
    }
    expect(Object.fromEntries([...(await files.all())].map(([name, { value }]) => [name, value]))).toEqual({
      box: 'box again',
      'box.1': 'box.1 again',
      'box.1.2': 'box.1.2 again',
    });
  });
});

describe('claims', () => {
  const inventory = (count: number): Inventory => ({
    file: 'lab.yaml',
    resetCommands: [],
    machines: Array.from({ length: count }, (_, n) => ({
      name: `box${n}`,
      address: '10.0.0.1',
      port: n + 1,
      user: 'lab',
      hostKey: 'ssh-ed25519 AAAA',
      identityFile: '/key',
      labels: {},
    })),
  });
  const claim = (key: string) => ({
    key,
    tags: { 'slipway-installation': 'i', 'slipway-machine': `${key}.1`, 'slipway-lease': key, 'slipway-key': key },
    createdAt: '2026-01-01T00:00:00.000Z',
    authorizedKeys: [],
    reset: { commands: [], leaves: [] },
  });
  const none = new Map<string, string>();

  it('of one key, by many at once, are one machine, and the rest stays free', async () => {
    const clients = Array.from({ length: 8 }, () => createClaims(folder));
    for (let round = 0; round < 10; round += 1) {
      const asked = clients.map((client) => client.claimFree(inventory(5), {}, none, claim(`one${round}`)));
      const names = new Set((await Promise.all(asked)).map(({ name }) => name));
      expect(names.size).toBe(1);
      const all = [...(await createClaims(folder).all()).values()];
      expect(all.filter(({ value }) => value.state === 'claimed')).toHaveLength(1);
      const held = await clients[0]?.byKey(`one${round}`);
      if (held) await clients[0]?.letGo(held, { state: 'free', since: new Date().toISOString() });
    }
  });

  it('of many keys, by many at once, never share a machine', async () => {
    const clients = Array.from({ length: 4 }, () => createClaims(folder));
    const asked = await Promise.allSettled(
      Array.from({ length: 12 }, (_, n) =>
        (clients[n % 4] as (typeof clients)[number]).claimFree(inventory(7), {}, none, claim(`key${n}`)),
      ),
    );
    const got = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(got).toHaveLength(7);
    expect(new Set(got.map(({ name }) => name)).size).toBe(7);
    for (const { name, claim: its } of got) expect((await createClaims(folder).byKey(its.key))?.name).toBe(name);
  });

  it('that their maker died in are found by their key, and gone on with', async () => {
    const one = createClaims(folder);
    // It had its machine, and had not bound its key yet.
    const died = { ...claim('died'), machine: inventory(1).machines[0] as Inventory['machines'][number] };
    await versionedFiles(join(folder, 'machines')).replace('box0', 0, { state: 'claimed', since: '', claim: died });
    expect(await one.byKey('died')).toMatchObject({ name: 'box0' });
    expect(await one.claimFree(inventory(3), {}, none, claim('died'))).toMatchObject({ name: 'box0' });
  });

  it('are refused once their key is over', async () => {
    const one = createClaims(folder);
    await one.endKey('never');
    await one.endKey('never');
    await expect(one.claimFree(inventory(1), {}, none, claim('never'))).rejects.toMatchObject({ type: 'Gone' });
    expect((await one.all()).size).toBe(0);
  });

  it('go to the machine that has rested longest', async () => {
    const one = createClaims(folder);
    const order: string[] = [];
    for (const key of ['a', 'b', 'c', 'd', 'e']) {
      const claimed = await one.claimFree(inventory(3), {}, none, claim(key));
      order.push(claimed.name);
      await one.letGo(claimed, { state: 'free', since: `2026-01-01T00:00:0${order.length}.000Z` });
    }
    expect(order).toEqual(['box0', 'box1', 'box2', 'box0', 'box1']);
  });
});
