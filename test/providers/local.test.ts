import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkHost } from '../../src/providers/local/host-check.ts';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import type { Provider, Resources } from '../../src/providers/provider.ts';
import { canConnect, localBench, until, type LocalBench } from '../support/local-machines.ts';
import { awaitHeld } from '../support/local-knobs.ts';
import { withVolumes } from '../support/with-volumes.ts';

describe('the conformance kit on local', () => {
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench();
  });
  afterAll(() => bench.close());
  for (const { title, run } of conformanceCases) it(title, () => run(bench.subject()));

  it('holds for a provider with resources of other kinds, and for none that keeps one', async () => {
    const subject = bench.subject();
    const volumes = withVolumes(bench.provider);
    const ofResources = conformanceCases.filter(({ title }) => title.startsWith('what is made for a machine'));
    expect(ofResources).toHaveLength(1);
    for (const { run } of ofResources) await run({ ...subject, provider: volumes.provider });
    expect(volumes.left()).toEqual([]);
    const clings: Provider = {
      ...volumes.provider,
      resources: { ...(volumes.provider.resources as Resources), destroy: () => Promise.resolve() },
    };
    for (const { run } of ofResources)
      await expect(run({ ...subject, provider: clings, withinMs: 2_000 })).rejects.toThrow('not seen after 2000 ms');
  });
});

describe('the life of the process', () => {
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench();
  });
  afterAll(() => bench.close());

  it('a machine outlives a kill -9 of the process, and the next one adopts it with its key and address', async () => {
    const machine = await bench.make();
    expect(await machine.ssh('echo before; echo file >~/kept')).toMatchObject({ code: 0, stdout: 'before\n' });
    const first = bench.process();
    await bench.kill();
    expect(await canConnect(machine.access.address, machine.access.port)).toBe(false);
    // One client or many: one process.
    const views = await Promise.all([1, 2, 3].map(() => bench.again().get(machine.ref, bench.signal())));
    for (const view of views) expect(view).toMatchObject({ state: 'running', access: machine.access });
    expect(bench.process()?.pid).not.toBe(first?.pid);
    expect(await machine.ssh('cat ~/kept')).toMatchObject({ code: 0, stdout: 'file\n' });
    await bench.destroyed(machine.ref);
    expect(await bench.remains()).toEqual([]);
  });

  it('a detached command lives on over a kill -9 of the process', async () => {
    const machine = await bench.make();
    await machine.ssh("setsid sh -c 'echo $$ >~/pid; exec sleep 1000' >/dev/null 2>&1 </dev/null & sleep 0.1");
    await bench.kill();
    await bench.noticed(machine.ref);
    await bench.seen(machine.ref, 'running');
    expect(await machine.ssh('kill -0 $(cat ~/pid) && echo alive')).toMatchObject({ stdout: 'alive\n' });
    await bench.destroyed(machine.ref);
  });

  it('a create that the process died in is finished or made anew, and is one machine', async () => {
    for (const delayMs of [0, 5, 15, 30]) {
      const key = `half-${delayMs}`;
      const create = () =>
        bench.provider.create(key, bench.spec('half'), bench.tags(`half${delayMs}.1`, key), bench.signal());
      const lost = create().catch(() => undefined);
      await until(async () =>
        (await bench.provider.list(bench.installation, bench.signal())).length > 0 ? true : undefined,
      );
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      await bench.kill();
      await lost;
      // The client may hear of the kill only from the line that it writes next.
      const ref = await create().catch(create);
      const machine = await bench.way(key, ref);
      expect(await machine.ssh('uname -n; echo one')).toMatchObject({ code: 0 });
      expect(await bench.provider.list(bench.installation, bench.signal())).toHaveLength(1);
      await bench.destroyed(ref);
      expect(await bench.remains()).toEqual([]);
    }
  });

  it('a destroy that the process died in goes on in the next one', async () => {
    const machine = await bench.make();
    bench.knobs({ gates: { destroy: 'after' } });
    const lost = bench.provider.destroy(machine.ref, bench.signal()).catch((error: unknown) => error);
    await awaitHeld(bench.folder, 'destroy');
    await bench.kill();
    expect(await lost).toMatchObject({ type: 'ProviderUnavailable' });
    bench.knobs({});
    await bench.seen(machine.ref, 'absent');
    expect(await bench.remains()).toEqual([]);
  });

  it('a create that arrives after the destroy of its key is refused, also by the next process', async () => {
    const { key, ref } = await bench.make('late.1');
    await bench.destroyed(ref);
    const late = () => bench.provider.create(key, bench.spec('late'), bench.tags('late.1', key), bench.signal());
    await expect(late()).rejects.toMatchObject({ type: 'Gone' });
    await bench.kill();
    await expect(late().catch(late)).rejects.toMatchObject({ type: 'Gone' });
    await bench.provider.destroy({ id: 'never', key: 'never-made' }, bench.signal());
    const never = bench.provider.create('never-made', bench.spec('n'), bench.tags('n.1', 'never-made'), bench.signal());
    await expect(never).rejects.toMatchObject({ type: 'Gone' });
  });

  it('a process without machine and client ends, and the next call starts another', async () => {
    const one = localBench({ idleMs: 50 });
    const client = one.again();
    expect(await client.list(one.installation, one.signal())).toEqual([]);
    await client.close();
    await until(async () => (one.process() === undefined ? true : undefined));
    expect(await one.provider.list(one.installation, one.signal())).toEqual([]);
    await one.close();
  });

  it('a check names the tier and each ingredient', async () => {
    const check = await bench.provider.check(bench.signal());
    expect(check.ok).toBe(true);
    const tier = process.env['SLIPWAY_TEST_TIER'] ?? checkHost(undefined).tier;
    expect(check.summary).toContain(`tier ${tier} (`);
    for (const item of check.items)
      expect(item).toMatchObject({ name: expect.any(String), text: expect.stringMatching(/./) });
  });
});
