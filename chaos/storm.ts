import { setTimeout as pause } from 'node:timers/promises';
import type { Faults } from '../test/support/faults.ts';
import type { Schedule } from './schedule.ts';
import { victims, type Kill, type Spell, type Victim, type WireStrike } from './weather.ts';
import type { World } from './world.ts';

export interface Storm {
  /** Ends when the schedule is over, or at `signal`; what stands is taken back. */
  readonly over: Promise<void>;
  readonly kills: Readonly<Record<Victim, number>>;
}

/** Does to the stack what the schedule says, at its times. */
export function storm(plan: Schedule, world: World, detour: Faults[string], signal: AbortSignal): Storm {
  const { stack, proxy } = world;
  const fromMs = Date.now();
  const kills = Object.fromEntries(victims.map((who) => [who, 0])) as Record<Victim, number>;
  const each = async <T extends { readonly atMs: number }>(
    all: readonly T[],
    act: (one: T) => Promise<void>,
  ): Promise<void> => {
    for (const one of all) {
      const waitMs = fromMs + one.atMs - Date.now();
      if (waitMs > 0) await pause(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      await act(one);
    }
  };

  const change = async ({ rules, refuseLogins }: Spell): Promise<void> => {
    stack.faults(...detour, ...rules);
    await stack.knobs(refuseLogins > 0 ? { refuseLogins } : {});
  };
  const strike = async ({ act, forMs }: WireStrike): Promise<void> => {
    const later = () => pause(forMs, undefined, { signal }).catch(() => undefined);
    switch (act.act) {
      case 'arm': {
        const disarm = proxy.arm(act.fault);
        await later();
        disarm();
        return;
      }
      case 'refuseAll':
        await proxy.refuseAll();
        await later();
        await proxy.acceptAgain();
        return;
      case 'resetAll':
        proxy.reset();
        return;
      case 'hangAll':
        proxy.hang();
        return;
    }
  };
  const kill = async ({ who }: Kill): Promise<void> => {
    if (who === 'stack') {
      await stack.killSupervisor();
      await stack.restart();
      kills.stack += 1;
      return;
    }
    // It may be between two lives just now.
    const pid = await stack.killHard(who).catch(() => undefined);
    if (pid !== undefined) kills[who] += 1;
  };

  const over = Promise.all([each(plan.spells, change), each(plan.wire, strike), each(plan.kills, kill)]).then(
    async () => {
      proxy.clear();
      stack.faults(...detour);
      await stack.knobs({});
    },
  );
  // Whoever waits for it hears of it: not earlier than the leases are over, and the process must live till then.
  over.catch(() => undefined);
  return { over, kills };
}
