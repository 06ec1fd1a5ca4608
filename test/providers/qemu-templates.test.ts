import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lockHolder, takeLock } from '../../src/host/lock.ts';
import type { ProviderRef } from '../../src/providers/provider.ts';
import { lockOf } from '../../src/providers/qemu/locked.ts';
import { idOf } from '../../src/providers/qemu/record.ts';
import { until } from '../support/local-machines.ts';
import { blankDisk, processesIn, qemuBench, type QemuBench } from '../support/qemu-machines.ts';
import { withoutQemu } from '../support/vm-image.ts';

let files: string;
let blank: string;
beforeAll(() => {
  files = mkdtempSync(join(tmpdir(), 'slipway-qemu-warm-'));
  blank = blankDisk(files);
});
afterAll(() => rmSync(files, { recursive: true, force: true }));

interface Seen {
  readonly id: string;
  readonly state: string;
}

/** Guests without a system, whose word that they wait to be cloned is said for them. */
describe.skipIf(withoutQemu())('a template', () => {
  let bench: QemuBench;
  beforeEach(() => {
    const images = { blank: { file: blank, warm: true } };
    bench = qemuBench({ images, accelerator: 'tcg', memoryMb: 200 }, { image: 'blank', memoryMb: 64 });
  });
  afterEach(() => bench.close());

  const folder = (id: string, file: string): string => join(bench.folder, 't', id, file);
  const seen = (): readonly Seen[] =>
    (existsSync(join(bench.folder, 't')) ? readdirSync(join(bench.folder, 't')) : [])
      .filter((id) => existsSync(folder(id, 'template.json')))
      .map((id) => Object.assign(JSON.parse(readFileSync(folder(id, 'template.json'), 'utf8')) as Seen, { id }));
  const ready = (): readonly string[] => seen().flatMap(({ id, state }) => (state === 'ready' ? [id] : []));
  const booting = (): Promise<string> =>
    until(
      async () => seen().find(({ id, state }) => state === 'building' && existsSync(folder(id, 'answer')))?.id,
      () => JSON.stringify(seen()),
      20_000,
    );
  const answer = (id: string): void => appendFileSync(folder(id, 'answer'), 'waiting\n');
  const make = async (memoryMb: number, key?: string): Promise<ProviderRef> =>
    (await bench.make(key, { variant: { image: 'blank', memoryMb } })).ref;
  const madeWarm = async (memoryMb: number): Promise<ProviderRef> => {
    const making = make(memoryMb);
    answer(await booting());
    return making;
  };
  /** A machine is wanted, and nobody waits for it any more. */
  const abandoned = async (): Promise<string> => {
    const gone = new AbortController();
    const making = bench.provider.create('gone', bench.spec('gone'), bench.tags('gone'), gone.signal);
    const id = await booting();
    gone.abort();
    await expect(making).rejects.toThrow();
    return id;
  };

  it('of one size stays when one of another size is made, also when no machine uses it', async () => {
    await bench.destroyed(await madeWarm(64));
    await bench.destroyed(await madeWarm(65));
    expect(ready()).toHaveLength(2);
    await bench.destroyed(await make(64));
    await bench.destroyed(await make(65));
    expect(ready()).toHaveLength(2);
  }, 60_000);

  it('of other bytes of its image goes with the next one, but for one that a machine lies upon', async () => {
    const ref = await madeWarm(64);
    const [first = ''] = ready();
    utimesSync(blank, 1, 1);
    await madeWarm(64);
    expect(ready()).toContain(first);
    await bench.destroyed(ref);
    utimesSync(blank, 2, 2);
    await madeWarm(64);
    expect(ready()).toHaveLength(2);
    expect(ready()).not.toContain(first);
  }, 60_000);

  it('that goes while a machine is made of it is another one for the next try', async () => {
    await bench.destroyed(await madeWarm(64));
    const [id = ''] = ready();
    const locks = join(bench.folder, 'locks');
    const room = await takeLock(join(locks, 'room'));
    if (!room.held) throw new Error('the room is locked');
    const making = make(64, 'late');
    await until(() => lockHolder(lockOf(locks, idOf('late'))));
    rmSync(join(bench.folder, 't', id), { recursive: true });
    await room.release();
    await expect(making).rejects.toMatchObject({ type: 'ProviderUnavailable' });
    expect(await bench.remains()).toEqual([]);
    await madeWarm(64);
    expect(ready()).toEqual([id]);
  }, 60_000);

  it('that nobody waits for any more is taken when it is ready, by whoever comes next', async () => {
    const id = await abandoned();
    answer(id);
    await bench.again().list(bench.installation, bench.signal());
    expect(ready()).toEqual([id]);
    expect(processesIn(bench.folder)).toEqual([]);
  }, 60_000);

  it('that boots for too long is ended when nobody waits for it any more', async () => {
    const id = await abandoned();
    await bench.again().list(bench.installation, bench.signal());
    expect(processesIn(bench.folder)).toHaveLength(1);
    const record = folder(id, 'template.json');
    writeFileSync(record, readFileSync(record, 'utf8').replace(/"since":"\d+/, '"since":"2001'));
    await bench.again().list(bench.installation, bench.signal());
    expect(processesIn(bench.folder)).toEqual([]);
    expect(seen()).toMatchObject([{ state: 'failed', why: expect.stringContaining('within 15 min') }]);
  }, 60_000);

  it('takes of the room while it boots', async () => {
    await abandoned();
    const { items, summary } = await bench.provider.check(bench.signal());
    expect(items.find(({ name }) => name === 'memory')?.text).toMatch(/^64 of 200 MiB/);
    expect(summary).toContain('0 machines, 1 templates boot');
  }, 60_000);
});
