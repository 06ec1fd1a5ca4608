import assert from 'node:assert/strict';
import { DomainError } from '../../domain/failure.ts';
import type { MachineView, Provider, ProviderRef } from '../provider.ts';
import { eventually, seen } from './looks.ts';
import { markOf, type Keys } from './mark.ts';
import { newKeys, withRunning, type Running } from './running.ts';
import { limit, type ConformanceCase, type Subject } from './subject.ts';

/** What the core builds on where a provider says that it can reload or rekey. */
export const reloadCases: readonly ConformanceCase[] = [
  {
    title: 'a verb beyond the seven is there exactly when it is declared',
    run: async ({ provider }) => {
      const declared = provider.capabilities();
      for (const verb of ['reload', 'rekey', 'power', 'console', 'images', 'userData'] as const)
        assert.equal(provider[verb] !== undefined, declared[verb] ?? false, verb);
    },
  },
  {
    title: 'a reloaded machine has its ref and address still, nothing of what was on it, and the new keys',
    run: (subject) =>
      withAbility(subject, 'reload', async ({ ref, keys, access }, reload) => {
        const before = await markOf(subject, access, keys);
        const next = newKeys();
        await reload(subject.provider, next, 2);
        const after = await markOf(subject, await sameAddress(subject, ref, 2, access), next);
        if (subject.guests) assert.notEqual(after, before);
        await refusesOld(subject, access, keys);
      }),
  },
  {
    title: 'a reload that is asked for again, at once or later or of an older generation, changes nothing',
    run: (subject) =>
      withAbility(subject, 'reload', async ({ ref, access }, reload) => {
        const next = newKeys();
        const other = subject.again();
        await Promise.all([0, 1, 2, 3].map((n) => reload(n % 2 ? other : subject.provider, next, 3)));
        const now = await sameAddress(subject, ref, 3, access);
        const mark = await markOf(subject, now, next);
        await reload(subject.provider, next, 3);
        await reload(other, newKeys(), 2);
        assert.deepEqual((await inGeneration(subject, ref, 3)).access, now);
        assert.equal(await markOf(subject, now, next), mark);
      }),
  },
  {
    title: 'a machine that is destroyed while it is reloaded is gone in the end',
    run: (subject) =>
      withAbility(subject, 'reload', async ({ ref }, reload) => {
        const reloading = reload(subject.provider, newKeys(), 2).then(
          () => undefined,
          (error: unknown) => error,
        );
        await subject.provider.destroy(ref, limit(subject));
        const error = await reloading;
        assert.ok(error === undefined || error instanceof DomainError, 'a reload that failed says why');
        await seen(subject, ref, 'absent');
        await assert.rejects(
          reload(subject.provider, newKeys(), 2),
          (refused) => refused instanceof DomainError && refused.type === 'Gone',
        );
      }),
  },
  {
    title: 'a rekeyed machine has the new keys, and all else as it was',
    run: (subject) =>
      withAbility(subject, 'rekey', async ({ ref, keys, access }, rekey) => {
        const mark = await markOf(subject, access, keys);
        const next = newKeys();
        await Promise.all([rekey(subject.provider, next, 2), rekey(subject.again(), next, 2)]);
        assert.deepEqual((await inGeneration(subject, ref, 2)).access, access);
        assert.equal(await markOf(subject, access, next), mark);
        await refusesOld(subject, access, keys);
      }),
  },
];

type Ask = (provider: Provider, keys: Keys, generation: number) => Promise<void>;

/** A running machine of known keys, for a provider that has the verb; destroyed in the end. */
async function withAbility(
  subject: Subject,
  verb: 'reload' | 'rekey',
  use: (running: Running, ask: Ask) => Promise<void>,
): Promise<void> {
  if (!subject.provider.capabilities()[verb]) return;
  await withRunning(subject, async (running) =>
    use(running, async (provider, next, generation) => {
      const ask = provider[verb];
      assert.ok(ask, `${verb} is declared`);
      await ask.call(provider, running.ref, running.specOf(next), generation, limit(subject));
    }),
  );
}

const inGeneration = (subject: Subject, ref: ProviderRef, generation: number): Promise<MachineView> =>
  eventually(subject, async () => {
    const view = await subject.provider.get(ref, limit(subject));
    return view.state === 'running' && view.generation === generation ? view : undefined;
  });

/** Where it is now: a guest that makes a host key of its own has made another. */
async function sameAddress(
  subject: Subject,
  ref: ProviderRef,
  generation: number,
  before: Running['access'],
): Promise<Running['access']> {
  const { access } = await inGeneration(subject, ref, generation);
  assert.ok(access, 'a running machine has a way in');
  const { hostKey, ...where } = access;
  const { hostKey: old, ...place } = before;
  assert.deepEqual(where, place);
  assert.equal(hostKey === undefined, old === undefined);
  if (hostKey !== undefined) assert.notEqual(hostKey, old);
  return access;
}

async function refusesOld(subject: Subject, access: Running['access'], keys: Keys): Promise<void> {
  if (!subject.guests) return;
  await assert.rejects(
    markOf(subject, access, keys),
    (error) => error instanceof DomainError && error.type === 'HostKeyMismatch',
  );
}
