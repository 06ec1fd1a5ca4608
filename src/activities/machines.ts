import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/failure.ts';
import { incarnationKey } from '../domain/ids.ts';
import type { GuestFacts } from '../guest/guest.ts';
import type { OwnerTags } from '../providers/provider.ts';
import type { Activities, GuestRef, MachineRef } from './activities.ts';
import { beating } from './beat.ts';
import { guestOf, providerOf, recipeOf, type Deps } from './deps.ts';
import { passCommands } from './gate.ts';
import { unlessStopped, whileHeld, whileProven } from './held.ts';
import { hostKeyNews, learned } from './host-key.ts';
import { lookAhead } from './look-ahead.ts';
import { createOnce, destroyUntilGone } from './machine-debt.ts';
import { specOf } from './machine-spec.ts';
import { betweenLooksMs, untilAnswered } from './until-answered.ts';
import { refOf, untilRunning } from './until-running.ts';

type MachineActivities = Pick<
  Activities,
  'createMachine' | 'awaitRunning' | 'awaitAccessible' | 'awaitGate' | 'destroyMachine'
>;

/** A refused login may be a guest that installs its keys still; that many in a row are an answer. */
const refusalsBeforeGivingUp = 5;
/** The tag's value where no lease wanted the machine, but a pool: no lease is called so. */
const noLease = '-';

export function machineActivities(deps: Deps): MachineActivities {
  return {
    createMachine: (input) =>
      whileHeld(deps, input.holder, async (signal) => {
        const { machine } = input;
        const provider = providerOf(deps, machine.provider);
        const spec = await specOf(deps, machine, input.digest, input.variant);
        const tags: OwnerTags = {
          'slipway-installation': deps.installation.id,
          'slipway-machine': machine.machineId,
          'slipway-lease': machine.leaseId === '' ? noLease : machine.leaseId,
          'slipway-key': machine.key,
        };
        const until = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, input.createByMs - Date.now()))]);
        try {
          const ref = await createOnce(provider, machine.key, spec, tags, until);
          return { ref, ...(await lookAhead(deps, machine, ref, until)) };
        } catch (error) {
          if (!until.aborted || signal.aborted || error instanceof DomainError) throw error;
          const message = `Provider ${machine.provider} did not finish the create of ${machine.machineId} in its time.`;
          throw new DomainError('ProviderUnavailable', message, { cause: error });
        }
      }),

    awaitRunning: (input) =>
      whileHeld(deps, input.holder, async (signal) =>
        untilRunning(deps, input.machine, await refOf(deps, input.machine, signal), signal),
      ),

    awaitAccessible: (input) =>
      whileHeld(deps, input.holder, (held) =>
        unlessStopped(deps, input.machine, held, async (signal) => {
          if (input.access.hostKey === '') {
            const known = await learned(deps, input, input.told ?? [], signal);
            const facts = await untilLoggedIn(deps, known, signal);
            const { hostKey, fingerprint } = known.access;
            return { facts: { ...facts }, hostKey: { learned: { hostKey, fingerprint } } };
          }
          const facts = await untilLoggedIn(deps, input, signal);
          const hostKey = await hostKeyNews(deps, input, signal);
          return { facts: { ...facts }, ...(hostKey ? { hostKey } : {}) };
        }),
      ),

    awaitGate: (input) =>
      whileProven(deps, input.holder, async (signal) => {
        const { gate } = await recipeOf(deps, input.digest);
        const { machineId } = input.machine;
        const key = `${incarnationKey(machineId, input.machine.generation)}/gate/${Context.current().info.attempt}`;
        await passCommands({ guest: guestOf(deps, input), machineId, key, leftMs }, gate, signal);
      }),

    destroyMachine: ({ machine, debt }) =>
      beating(
        (signal) => {
          const { id } = deps.installation;
          return destroyUntilGone(providerOf(deps, machine.provider), id, machine.key, debt, signal);
        },
        { patient: true },
      ),
  };
}

async function untilLoggedIn(deps: Deps, input: GuestRef, signal: AbortSignal): Promise<GuestFacts> {
  const guest = guestOf(deps, input);
  let refusals = 0;
  return untilAnswered(
    (within) => guest.probe(within),
    (error, patienceMs) => {
      const refused = error instanceof DomainError && error.type === 'SshAuthRefused';
      refusals = refused ? refusals + 1 : 0;
      const final = error instanceof DomainError && error.type === 'HostKeyMismatch';
      if (final || refusals >= refusalsBeforeGivingUp) throw error;
      if (leftMs() < patienceMs) throw neverReady(input.machine, error);
      // One that refuses is given time.
      return refusals > 0 ? patienceMs : betweenLooksMs;
    },
    signal,
  );
}

/** Of the phase: its limit is this activity's schedule-to-close. */
function leftMs(): number {
  const { scheduledTimestampMs, scheduleToCloseTimeoutMs } = Context.current().info;
  return scheduleToCloseTimeoutMs > 0 ? scheduledTimestampMs + scheduleToCloseTimeoutMs - Date.now() : Infinity;
}

function neverReady(machine: MachineRef, cause: unknown): DomainError {
  const last = cause instanceof Error ? cause.message : String(cause);
  return new DomainError(
    'GuestNeverReady',
    `Machine ${machine.machineId} (provider ${machine.provider}) was not accessible in time: ${last}`,
    {
      hint: `slipway provider check ${machine.provider}`,
      cause,
    },
  );
}
