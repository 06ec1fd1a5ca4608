import assert from 'node:assert/strict';
import { DomainError, type FailureType } from '../../domain/failure.ts';
import type { PowerAction } from '../../domain/power.ts';
import type { Provider, ProviderRef } from '../provider.ts';
import { destroyed, eventually, seen } from './looks.ts';
import { markOf } from './mark.ts';
import { withRunning, type Running } from './running.ts';
import { limit, newMachineOf, type ConformanceCase, type Subject } from './subject.ts';

/** What the core builds on where a provider says that it has power, or a console. */
export const powerCases: readonly ConformanceCase[] = [
  {
    title: 'a machine that is switched off is stopped, and on again it is itself, with what was on it',
    run: (subject) =>
      withPower(subject, async (running) => {
        const { ref, access } = running;
        const mark = await marked(subject, running);
        await power(subject, ref, 'off');
        await seen(subject, ref, 'stopped');
        await power(subject, ref, 'off', subject.again());
        await seen(subject, ref, 'stopped');
        await power(subject, ref, 'on');
        assert.deepEqual((await seen(subject, ref, 'running')).access, access);
        assert.equal(await marked(subject, running), mark);
        // Of a running one it changes nothing.
        await power(subject, ref, 'on', subject.again());
        assert.equal((await subject.provider.get(ref, limit(subject))).state, 'running');
        assert.equal(await marked(subject, running), mark);
      }),
  },
  {
    title: 'a machine that is reset, running or stopped, runs again with what was on it',
    run: (subject) =>
      withPower(subject, async (running) => {
        const { ref, access } = running;
        const mark = await marked(subject, running);
        await power(subject, ref, 'reset');
        await seen(subject, ref, 'running');
        assert.equal(await marked(subject, running), mark);
        await power(subject, ref, 'off');
        await seen(subject, ref, 'stopped');
        await power(subject, ref, 'reset');
        assert.deepEqual((await seen(subject, ref, 'running')).access, access);
        assert.equal(await marked(subject, running), mark);
      }),
  },
  {
    title: 'a machine that is switched off is destroyed as any other, and has no power any more',
    run: async (subject) => {
      if (!subject.provider.capabilities().power) return;
      const ref = await newMachineOf(subject).create();
      await seen(subject, ref, 'running');
      await power(subject, ref, 'off');
      await seen(subject, ref, 'stopped');
      await destroyed(subject, ref);
      await isGone(power(subject, ref, 'on'));
    },
  },
  {
    title: 'a console has no more than is asked for, and none is there of a machine that is gone',
    run: (subject) =>
      subject.provider.capabilities().console
        ? withRunning(subject, async ({ ref }) => {
            const read = (maxBytes: number) => consoleOf(subject, ref, maxBytes);
            const all = await read(65_536);
            assert.ok(Buffer.byteLength(all) <= 65_536, 'it is bounded');
            if (all.length === 0) return;
            assert.ok(Buffer.byteLength(await read(16)) <= 16, 'it is bounded as asked');
          }).then(async () => {
            const ref = await newMachineOf(subject).create();
            await destroyed(subject, ref);
            await isGone(consoleOf(subject, ref, 16));
          })
        : Promise.resolve(),
  },
];

const withPower = (subject: Subject, use: (running: Running) => Promise<void>): Promise<void> =>
  subject.provider.capabilities().power ? withRunning(subject, use) : Promise.resolve();

function power(subject: Subject, ref: ProviderRef, action: PowerAction, provider: Provider = subject.provider) {
  assert.ok(provider.power, 'power is declared');
  return provider.power(ref, action, limit(subject));
}

function consoleOf({ provider, ...subject }: Subject, ref: ProviderRef, maxBytes: number): Promise<string> {
  assert.ok(provider.console, 'console is declared');
  return provider.console(ref, maxBytes, limit({ provider, ...subject }));
}

/** A guest that boots answers late, and its sshd may be up before it lets anybody but root in. */
const comesUp: ReadonlySet<FailureType> = new Set(['GuestUnreachable', 'SshAuthRefused']);

/** What the guest keeps on its disk. */
const marked = (subject: Subject, { access, keys }: Running): Promise<string> =>
  eventually(subject, () =>
    markOf(subject, access, keys).catch((error: unknown) => {
      if (error instanceof DomainError && comesUp.has(error.type)) return undefined;
      throw error;
    }),
  );

const isGone = (call: Promise<unknown>): Promise<void> =>
  assert.rejects(call, (error) => error instanceof DomainError && error.type === 'Gone');
