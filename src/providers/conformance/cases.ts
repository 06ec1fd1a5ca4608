import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/failure.ts';
import { destroyed, eventually, ofKey, seen } from './looks.ts';
import { powerCases } from './power-cases.ts';
import { reloadCases } from './reload-cases.ts';
import { limit, newMachineOf, type ConformanceCase, type Subject } from './subject.ts';

/** The promises that the core builds on, for any provider: run each against a provider of your own. */
export const conformanceCases: readonly ConformanceCase[] = [
  {
    title: 'two creates with one key, one after the other, are one machine',
    run: async (subject) => {
      if (subject.provider.capabilities().idempotentCreate === 'none') return;
      const { key, create } = newMachineOf(subject);
      const first = await create();
      const second = await create(subject.again());
      assert.deepEqual(second, first);
      await pause(settleMs(subject));
      assert.equal((await ofKey(subject, key)).length, 1);
      await destroyed(subject, first);
    },
  },
  {
    title: 'many creates with one key at once, from two clients, are one machine',
    run: async (subject) => {
      if (subject.provider.capabilities().idempotentCreate === 'none') return;
      const { key, create } = newMachineOf(subject);
      const other = subject.again();
      const refs = await Promise.all(Array.from({ length: 8 }, (_, n) => create(n % 2 ? other : subject.provider)));
      for (const ref of refs) assert.deepEqual(ref, refs[0]);
      await pause(settleMs(subject));
      assert.equal((await ofKey(subject, key)).length, 1);
      await destroyed(subject, refs[0] ?? {});
    },
  },
  {
    title: 'a machine is found by its key, and known, just after its create',
    run: async (subject) => {
      const { key, create } = newMachineOf(subject);
      assert.equal(await subject.provider.findByKey(key, limit(subject)), undefined);
      const ref = await create();
      const { state } = await subject.provider.get(ref, limit(subject));
      const known = state === 'pending' || state === 'running' || state === 'unknown';
      // A view may lag, for as long as the provider says.
      assert.ok(known || (state === 'absent' && settleMs(subject) > 0), `${state} just after create`);
      const found = await eventually(subject, () => subject.provider.findByKey(key, limit(subject)));
      assert.deepEqual(found, ref);
      const { access } = await seen(subject, ref, 'running');
      assert.ok(
        access && access.address !== '' && access.port > 0 && access.user !== '',
        'a running machine has a way in',
      );
      await destroyed(subject, ref);
      assert.equal(await subject.provider.findByKey(key, limit(subject)), undefined);
    },
  },
  {
    title: 'a list has every machine of its owner with all tags, and none of another',
    run: async (subject) => {
      const { provider } = subject;
      const stranger = { ...subject, installation: `other-${subject.installation}` };
      const ours = await Promise.all(
        [newMachineOf(subject), newMachineOf(subject)].map(async (one) => ({
          key: one.key,
          tags: one.tags,
          ref: await one.create(),
        })),
      );
      const theirs = await newMachineOf(stranger).create();
      for (const { key, tags, ref } of ours) {
        const [item, ...more] = await eventually(subject, async () => {
          const found = await ofKey(subject, key);
          return found.length > 0 ? found : undefined;
        });
        assert.deepEqual(more, []);
        assert.deepEqual(item?.ref, ref);
        assert.deepEqual(item?.tags, tags);
        assert.ok(!Number.isNaN(Date.parse(item?.createdAt ?? '')), 'createdAt is a time');
      }
      const all = await provider.list(subject.installation, limit(subject));
      assert.ok(all.every(({ tags }) => tags['slipway-installation'] === subject.installation));
      await destroyed(subject, theirs);
      for (const { ref } of ours) await destroyed(subject, ref);
      for (const { key } of ours) assert.deepEqual(await ofKey(subject, key), []);
    },
  },
  {
    title: 'a machine that is destroyed twice, or never was, is gone',
    run: async (subject) => {
      const { provider } = subject;
      const ref = await newMachineOf(subject).create();
      await Promise.all([provider.destroy(ref, limit(subject)), provider.destroy(ref, limit(subject))]);
      await seen(subject, ref, 'absent');
      await provider.destroy(ref, limit(subject));
      assert.equal((await provider.get(ref, limit(subject))).state, 'absent');
    },
  },
  {
    title: 'a machine that is destroyed while it is created is gone in the end',
    run: async (subject) => {
      const { key, create } = newMachineOf(subject);
      const making = create().then(
        () => undefined,
        (error: unknown) => error,
      );
      const ref = await eventually(subject, () => subject.provider.findByKey(key, limit(subject)));
      await subject.provider.destroy(ref, limit(subject));
      const error = await making;
      assert.ok(error === undefined || error instanceof DomainError, 'a create that failed says why');
      await destroyed(subject, ref);
    },
  },
  {
    title: 'an aborted call throws, and what it made is found by its key',
    run: async (subject) => {
      const { key, tags } = newMachineOf(subject);
      const abort = new AbortController();
      const call = subject.provider.create(key, subject.spec('aborted'), tags, abort.signal);
      abort.abort();
      await assert.rejects(call);
      await pause(settleMs(subject));
      const ref = await subject.provider.findByKey(key, limit(subject));
      if (ref) await destroyed(subject, ref);
    },
  },
  {
    title: 'a variant with an unknown key is refused, and nothing is made',
    run: async (subject) => {
      const { key, tags } = newMachineOf(subject);
      const spec = { ...subject.spec('refused'), variant: { noSuchKeyOfAnyProvider: true } };
      await assert.rejects(
        subject.provider.create(key, spec, tags, limit(subject)),
        (error) => error instanceof DomainError && error.type === 'InvalidRequest',
      );
      await pause(settleMs(subject));
      assert.deepEqual(await ofKey(subject, key), []);
    },
  },
  {
    title: 'what is made for a machine is listed with its tags to its owner only, and is gone when it is destroyed',
    run: async (subject) => {
      const { resources } = subject.provider;
      if (!resources) return;
      const { key, tags, create } = newMachineOf(subject);
      const ofOwner = async (owner: string) =>
        (await resources.list(owner, limit(subject))).filter((item) => item.key === key);
      const ref = await create();
      await seen(subject, ref, 'running');
      const made = await ofOwner(subject.installation);
      for (const item of made) assert.deepEqual(item.tags, tags);
      assert.deepEqual(await ofOwner(`other-${subject.installation}`), []);
      await destroyed(subject, ref);
      for (const item of [...made, ...made]) await resources.destroy(item, limit(subject));
      await eventually(subject, async () => ((await ofOwner(subject.installation)).length === 0 ? true : undefined));
    },
  },
  {
    title: 'nothing is left when all machines are destroyed',
    run: async (subject) => {
      const refs = await Promise.all(Array.from({ length: 3 }, () => newMachineOf(subject).create()));
      for (const ref of refs) await seen(subject, ref, 'running');
      for (const ref of refs) await subject.provider.destroy(ref, limit(subject));
      for (const ref of refs) await seen(subject, ref, 'absent');
      assert.deepEqual(await subject.provider.list(subject.installation, limit(subject)), []);
      if (subject.remains) assert.deepEqual(await subject.remains(), []);
    },
  },
  ...reloadCases,
  ...powerCases,
];

const settleMs = ({ provider }: Subject): number => provider.capabilities().settleMs;
