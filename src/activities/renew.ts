import { asksCheckIn } from '../domain/bundle.ts';
import { DomainError } from '../domain/failure.ts';
import { resetKey } from '../domain/ids.ts';
import type { FoundMachine } from '../domain/reuse.ts';
import type { Guest } from '../guest/guest.ts';
import { mismatchEvent } from '../guest/mismatch-event.ts';
import type { MachineState } from '../providers/provider.ts';
import type { Activities, GuestRef, MachineRef } from './activities.ts';
import { beating, pause } from './beat.ts';
import { renewCheckIn } from './check-in.ts';
import { guestOf, providerOf, recipeOf, type Deps } from './deps.ts';
import { runToEnd } from './follow.ts';
import { fullAccess } from './look-ahead.ts';
import { identityOf, specOf } from './machine-spec.ts';
import { launchSpec } from './tasks.ts';
import { refOf, untilRunning } from './until-running.ts';

type RenewActivities = Pick<Activities, 'inspectMachine' | 'takeBaseline' | 'reloadMachine' | 'resetGuest'>;

/** How long a state that says nothing yet, or a guest that does not answer, is looked at again. */
const patienceMs = 10_000;
const lookAgainMs = 500;
const probeWithinMs = 5_000;

export function renewActivities(deps: Deps): RenewActivities {
  return {
    inspectMachine: (input) =>
      beating(async (signal): Promise<FoundMachine> => {
        const provider = providerOf(deps, input.machine.provider);
        const state = await settledState(deps, input.machine, signal);
        const guest = state === 'running' ? await guestState(deps, input, signal) : 'silent';
        return { state, reload: provider.capabilities().reload, guest };
      }),

    takeBaseline: (input) =>
      beating(async (signal) => {
        const { resetLeaves = [] } = await recipeOf(deps, input.digest);
        return { baseline: await guestOf(deps, input).baseline(resetLeaves, signal) };
      }),

    reloadMachine: ({ machine, digest, variant }) =>
      beating(async (signal) => {
        const next = nextOf(machine);
        const provider = providerOf(deps, machine.provider);
        if (!provider.reload)
          throw new DomainError('InvalidRequest', `Provider ${machine.provider} cannot reload machines.`);
        const ref = await refOf(deps, machine, signal);
        await provider.reload(ref, await specOf(deps, next, digest, variant), next.generation, signal);
        return untilRunning(deps, next, ref, signal, (view) => view.generation === next.generation);
      }),

    resetGuest: (input) =>
      beating(async (signal) => {
        const next = nextOf(input.machine);
        const provider = providerOf(deps, input.machine.provider);
        const keptKeys = provider.rekey === undefined;
        const guest = await presentGuest(deps, input, keptKeys ? input.machine : next, signal);
        const refused = await resetCommands(deps, input, guest, signal);
        const { gate, resetLeaves = [] } = await recipeOf(deps, input.digest);
        const left = [...refused, ...(await guest.reset(input.baseline, resetLeaves, signal))];
        if (left.length > 0) return { access: input.access, facts: {}, keptKeys, left };
        // What it called home with is gone, and was its last generation's.
        if (asksCheckIn(gate)) await renewCheckIn(deps, next, guest, signal);
        if (!provider.rekey) return { access: input.access, facts: {}, keptKeys, left };
        await provider.rekey(await refOf(deps, input.machine, signal), identityOf(deps, next), next.generation, signal);
        // The key that it had so far is none of the next generation's.
        const { hostKey: _, ...where } = input.access;
        return { access: fullAccess(deps, next, where), facts: {}, keptKeys, left };
      }),
  };
}

/** As it will be, with keys of its own. */
function nextOf(machine: MachineRef): MachineRef {
  const { keys: _, ...next } = machine;
  return { ...next, generation: machine.generation + 1 };
}

/** One that restarts, or whose provider has to look itself, is given a moment to say how it stands. */
async function settledState(deps: Deps, machine: MachineRef, signal: AbortSignal): Promise<MachineState> {
  const provider = providerOf(deps, machine.provider);
  for (const untilMs = Date.now() + patienceMs; ; await pause(lookAgainMs, signal)) {
    signal.throwIfAborted();
    const ref = machine.ref ?? (await provider.findByKey(machine.key, signal));
    const state = ref ? (await provider.get(ref, signal)).state : 'absent';
    if ((state !== 'unknown' && state !== 'pending') || Date.now() > untilMs) return state;
  }
}

async function guestState(
  deps: Deps,
  input: GuestRef & { readonly bootId?: string },
  signal: AbortSignal,
): Promise<FoundMachine['guest']> {
  for (const untilMs = Date.now() + patienceMs; ; await pause(lookAgainMs, signal)) {
    try {
      const { bootId } = await guestOf(deps, input).probe(
        AbortSignal.any([signal, AbortSignal.timeout(probeWithinMs)]),
      );
      return input.bootId === undefined || bootId === input.bootId ? 'same' : 'rebooted';
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof DomainError && error.type === 'HostKeyMismatch') {
        mismatchEvent(deps.logger, { machine: input.machine.machineId, error: error.message });
        return 'stranger';
      }
      if (Date.now() > untilMs) return 'silent';
    }
  }
}

/** By the keys that it has now: an earlier attempt may have got as far as giving it the next ones. */
async function presentGuest(deps: Deps, input: GuestRef, next: MachineRef, signal: AbortSignal): Promise<Guest> {
  const guest = guestOf(deps, input);
  try {
    await guest.probe(signal);
    return guest;
  } catch (error) {
    const other = error instanceof DomainError && ['HostKeyMismatch', 'SshAuthRefused'].includes(error.type);
    if (!other) throw error;
    const renamed = guestOf(deps, { machine: next, access: input.access });
    await renamed.probe(signal);
    return renamed;
  }
}

/** Each once: what it wrote and how it ended is stored. @returns those that failed */
async function resetCommands(
  deps: Deps,
  { machine, digest }: GuestRef & { readonly digest: string },
  guest: Guest,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const recipe = await recipeOf(deps, digest);
  const failed: string[] = [];
  for (const [n, { title, command }] of (recipe.resetCommands ?? []).entries()) {
    const { limitMs, allowFailure, ...spec } = command;
    const result = await runToEnd(
      {
        guest,
        outputs: deps.outputs,
        key: resetKey(machine.machineId, machine.generation, n),
        taskId: `reset/${n}`,
        command: spec.command,
        launch: await launchSpec(deps, machine.leaseId, { ...spec, limitMs }),
        limitBytes: recipe.outputLimitBytes,
        startedAtMs: Date.now(),
      },
      signal,
    );
    signal.throwIfAborted();
    if (!result) throw new DomainError('GuestUnreachable', `Reset command ${title} was left while it ran.`);
    if (result.exitCode !== 0 && !allowFailure)
      failed.push(`reset command ${n + 1} (${title}) exited ${result.exitCode ?? 'unknown'}`);
  }
  return failed;
}
