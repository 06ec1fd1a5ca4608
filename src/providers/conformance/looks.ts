import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { MachineState, MachineView, ProviderRef } from '../provider.ts';
import { limit, type Subject } from './subject.ts';

const lookMs = 10;

export async function ofKey(subject: Subject, key: string) {
  const all = await subject.provider.list(subject.installation, limit(subject));
  return all.filter((item) => item.key === key);
}

export async function destroyed(subject: Subject, ref: ProviderRef): Promise<void> {
  await subject.provider.destroy(ref, limit(subject));
  await seen(subject, ref, 'absent');
}

export function seen(subject: Subject, ref: ProviderRef, state: MachineState): Promise<MachineView> {
  let last: MachineState | undefined;
  return eventually(
    subject,
    async () => {
      const view = await subject.provider.get(ref, limit(subject));
      last = view.state;
      return view.state === state ? view : undefined;
    },
    () => `a machine is ${last}, not ${state}`,
  );
}

export async function eventually<T>(
  subject: Subject,
  look: () => Promise<T | undefined>,
  says?: () => string,
): Promise<T> {
  const deadline = Date.now() + subject.withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    assert.ok(Date.now() < deadline, `${says?.() ?? 'not seen'} after ${subject.withinMs} ms`);
    await pause(lookMs);
  }
}
