import { setTimeout as pause } from 'node:timers/promises';
import type { SlipwayClient } from '../client/client.ts';
import type { LeaseView } from '../contract/http.ts';
import { textParts } from '../domain/failure.ts';
import type { Attempt, MachinePhase, PhaseTime } from '../domain/lease.ts';
import type { Cli } from './context.ts';
import { LiveLine } from './output/live-line.ts';
import { spokenQueue } from './output/pool.ts';
import { spokenWait } from './output/quota.ts';
import { oneLine } from './output/table.ts';
import { spokenMs } from './output/units.ts';

/** While a lease is young its phases last milliseconds; an hour's boot is not asked about so often. */
const lookAfterMs = (ageMs: number): number => Math.min(1_000, Math.max(50, ageMs / 20));
/** The gate of most bundles takes no time: it says nothing then. */
const passedBy = ({ phase, durationMs = 0 }: PhaseTime): boolean =>
  (phase === 'readying' && durationMs < 10) || (phase === 'queued' && durationMs < waitMs);
/** A part of an account that is free is granted in less. */
const waitMs = 1_000;
const ending = new Set(['ready', 'held', 'reclaiming', 'stuck', 'forgotten', 'gone']);

export interface LeaseProgress {
  /** The lease as soon as it is no longer acquiring; its phases are said by then. */
  readonly ready: Promise<LeaseView>;
  /** Looks at once, in place of when the next look is due. */
  hurry(): Promise<unknown>;
}

/** Says a lease's phases with their times as its machine goes through them, until it is ready or over. */
export function followPhases(cli: Cli, client: SlipwayClient, leaseId: string, signal: AbortSignal): LeaseProgress {
  const live = new LiveLine(cli.io.stderr);
  const said = new Set<string>();
  const began = performance.now();
  let hurry = new AbortController();

  const say = (view: LeaseView): void => {
    view.attempts.forEach((attempt, n) => {
      for (const time of attempt.phases) {
        const key = `${n} ${time.phase}`;
        if (time.durationMs === undefined || ending.has(time.phase) || passedBy(time) || said.has(key)) continue;
        said.add(key);
        live.clear();
        cli.say(phaseLine(attempt, time, view));
      }
      const key = `${n} failed`;
      if (attempt.reason === undefined || said.has(key)) return;
      said.add(key);
      live.clear();
      cli.say(`  ${cli.paint('yellow', 'failed')}         ${oneLine(textParts(attempt.reason.message).message)}`);
    });
    const last = view.attempts.at(-1);
    const present = last?.phases.findLast(({ durationMs }) => durationMs === undefined);
    const since = present ? Date.parse(present.at) : Date.now();
    const { queue } = view;
    if (queue) {
      if (!said.has('queue')) cli.say(`  queued         ${spokenQueue(queue)}`);
      said.add('queue');
      return live.show(() => `queued ${spokenMs(Date.now() - Date.parse(queue.since))} · ${spokenQueue(queue)}`);
    }
    const waiting = last?.waiting;
    const wait = `${view.attempts.length} waits`;
    if (waiting && !said.has(wait)) cli.say(`  queued         ${spokenWait(waiting)}`);
    if (waiting) said.add(wait);
    const text = waiting ? `queued · ${spokenWait(waiting)} ·` : (present?.phase ?? view.state);
    live.show(() => `${text} ${spokenMs(Math.max(0, Date.now() - since))}`);
  };

  const watch = async (): Promise<LeaseView> => {
    try {
      for (;;) {
        const view = await client.leases.show(leaseId, signal);
        say(view);
        if (view.state !== 'acquiring') return view;
        hurry = new AbortController();
        const until = AbortSignal.any([signal, hurry.signal]);
        await pause(lookAfterMs(performance.now() - began), undefined, { signal: until }).catch(() =>
          signal.throwIfAborted(),
        );
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      live.end();
    }
  };
  const ready = watch();
  ready.catch(() => undefined); // the caller awaits it, maybe later
  return {
    ready,
    hurry: () => {
      hurry.abort();
      return ready;
    },
  };
}

function phaseLine(attempt: Attempt, { phase, durationMs = 0 }: PhaseTime, view: LeaseView): string {
  const access = view.access ?? view.machine?.access;
  const texts: Partial<Record<MachinePhase, string>> = {
    provisioning: `machine ${attempt.machineId} on ${attempt.provider}`,
    loading: access?.address ?? '',
    waiting: access?.fingerprint ? `SSH, host key pinned (${access.fingerprint.slice(0, 15)}…)` : 'SSH',
  };
  const text = texts[phase] ?? '';
  return `  ${phase.padEnd(12)} ${spokenMs(durationMs).padStart(8)}   ${text}`.trimEnd();
}
