import { Context } from '@temporalio/activity';
import { taskSignals } from '../contract/messages.ts';
import { DomainError, wholeText } from '../domain/failure.ts';
import { machineWorkflowId, stepKey, taskKey, taskWorkflowId } from '../domain/ids.ts';
import { defaultGraceMs, signalGapMs, type OutputAdvanced, type TaskSpec } from '../domain/task.ts';
import type { FileSpec, LaunchSpec } from '../guest/guest.ts';
import type { Activities, TaskRef } from './activities.ts';
import { beating } from './beat.ts';
import { giveCheckIn } from './check-in.ts';
import { guestOf, providerOf, recipeOf, type Deps } from './deps.ts';
import { outOfReach } from './failure.ts';
import { endAsLost, outputAtEnd, runToEnd } from './follow.ts';
import { whileProven } from './held.ts';

type TaskActivities = Pick<Activities, 'runStep' | 'followTask' | 'killTask' | 'abandonTask'>;

/** What the next attempt must know of this one. */
interface Beat {
  readonly unreachableSinceMs?: number;
}

/** What is left to say behind the title, which is the path for a file without one. */
const behind = (title: string, text: string): string =>
  [`${title}: `, `${title} `].reduce((rest, start) => (rest.startsWith(start) ? rest.slice(start.length) : rest), text);

export function taskActivities(deps: Deps): TaskActivities {
  return {
    runStep: (input) =>
      whileProven(deps, input.holder, async (signal) => {
        const recipe = await recipeOf(deps, input.digest);
        const step = recipe.steps[input.step];
        if (!step) throw new DomainError('InvalidRequest', `Recipe ${input.digest} has no step ${input.step}.`);
        const guest = guestOf(deps, input);
        const { machineId, generation } = input.machine;
        const key = stepKey(machineId, generation, input.step);
        const failed = {
          step: input.step,
          of: recipe.steps.length,
          title: step.title,
          ...(generation === 1 ? {} : { generation }),
        };
        if ('authorizedKeys' in step) {
          await guest.authorizeKeys(step.authorizedKeys, signal);
          return {};
        }
        if ('checkIn' in step) {
          await giveCheckIn(deps, input.machine, guest, signal);
          return {};
        }
        if ('file' in step) {
          const { source, ...rest } = step.file;
          const from: FileSpec['source'] =
            'blob' in source ? { path: (await deps.blobs.file(source.blob)).path } : source;
          try {
            await guest.installFile(
              { ...rest, source: from, id: `${input.machine.key}-${generation}-${input.step}` },
              signal,
            );
            return {};
          } catch (error) {
            if (!(error instanceof DomainError) || error.type !== 'CustomizeFailed') throw error;
            return { failure: { ...failed, exitCode: null, message: behind(step.title, wholeText(error)) } };
          }
        }
        const { limitMs, allowFailure: _, ...spec } = step.command;
        const result = await runToEnd(
          {
            guest,
            outputs: deps.outputs,
            key,
            taskId: `step/${input.step}`,
            command: spec.command,
            launch: await launchSpec(deps, input.machine.leaseId, { ...spec, limitMs }),
            limitBytes: recipe.outputLimitBytes,
            startedAtMs: Date.now(),
          },
          signal,
        );
        signal.throwIfAborted();
        if (!result) throw new DomainError('GuestUnreachable', `Step ${step.title} was left while it ran.`);
        if (result.exitCode === 0) return {};
        return {
          failure: {
            ...failed,
            exitCode: result.exitCode,
            output: key,
            ...(result.reason ? { message: result.reason } : {}),
          },
        };
      }),

    async followTask(input) {
      const { info } = Context.current();
      // Silent until it has answered, so that attempt after attempt in vain adds up.
      let beat: Beat = {
        unreachableSinceMs: (info.heartbeatDetails as Beat | undefined)?.unreachableSinceMs ?? Date.now(),
      };
      return beating(
        async (signal) => {
          const leg = AbortSignal.any([signal, AbortSignal.timeout(input.legMs)]);
          const advancing = tellAdvance(deps, input);
          const stop = (): void => clearInterval(advancing.timer);
          const key = taskKey(input.leaseId, input.taskId);
          try {
            const recipe = await recipeOf(deps, input.digest);
            const ended = await runToEnd(
              {
                guest: guestOf(deps, input),
                outputs: deps.outputs,
                key,
                taskId: input.taskId,
                command: input.spec.command,
                launch: await launchSpec(deps, input.leaseId, input.spec),
                limitBytes: recipe.outputLimitBytes,
                startedAtMs: input.startedAtMs,
                onReached: () => (beat = {}),
                onStored: advancing.stored,
              },
              leg,
            );
            return ended ? { ended, output: await outputAtEnd(deps.outputs, key, ended) } : {};
          } catch (error) {
            // Detached before there was anything to follow.
            if (leg.aborted) return {};
            const silence = outOfReach(error);
            if (!silence) throw error;
            const lost = await lostWith(deps, input, Date.now() - (beat.unreachableSinceMs ?? Date.now()));
            if (lost === undefined) throw silence;
            return { ended: await abandon(deps, { ...input, reason: lost, cancelled: false }) };
          } finally {
            stop();
          }
        },
        { details: () => beat },
      );
    },

    killTask: (input) =>
      beating(
        async (signal) => {
          const { graceMs = defaultGraceMs } = input.spec;
          await guestOf(deps, input).kill(taskKey(input.leaseId, input.taskId), graceMs, input.why, signal);
        },
        { proven: true },
      ),

    abandonTask: (input) => beating(() => abandon(deps, input)),
  };
}

/** Why nobody can hear of this task again, if so: its machine has ended, or has been silent for too long. */
async function lostWith(deps: Deps, input: TaskRef, silentMs: number): Promise<string | undefined> {
  const { machineId } = input.machine;
  if (silentMs > deps.times.guestLostAfterMs)
    return `machine ${machineId} was out of reach for ${Math.round(silentMs / 1000)} s`;
  // The provider is asked too: one that has to be woken to serve its machines again (`local`) is woken by it.
  await providerOf(deps, input.machine.provider).findByKey(input.machine.key, AbortSignal.timeout(10_000));
  const { status } = await deps.client.workflow.getHandle(machineWorkflowId(machineId)).describe();
  return status.name === 'RUNNING' ? undefined : `machine ${machineId} has ended`;
}

async function abandon(deps: Deps, input: Parameters<Activities['abandonTask']>[0]) {
  const recipe = await recipeOf(deps, input.digest);
  return endAsLost(deps.outputs, {
    key: taskKey(input.leaseId, input.taskId),
    limitBytes: recipe.outputLimitBytes,
    taskId: input.taskId,
    state: 'lost',
    command: input.spec.command,
    exitCode: null,
    signal: null,
    timedOut: false,
    cancelled: input.cancelled,
    lost: true,
    reason: input.reason,
    startedAt: new Date(input.startedAtMs).toISOString(),
    durationMs: Date.now() - input.startedAtMs,
  });
}

/** Names of secrets become values here, beside the wire: they go to the guest on stdin and nowhere else. */
export async function launchSpec(deps: Deps, leaseId: string, spec: TaskSpec): Promise<LaunchSpec> {
  const { secretEnv, stdin, ...rest } = spec;
  const secrets: Record<string, string> = {};
  for (const [name, secret] of Object.entries(secretEnv ?? {}))
    secrets[name] = await deps.secrets.value(leaseId, secret);
  const sha256 =
    stdin === undefined
      ? undefined
      : 'blob' in stdin
        ? stdin.blob
        : await deps.blobs.put(new TextEncoder().encode(stdin.text));
  return {
    ...rest,
    ...(secretEnv ? { secrets } : {}),
    ...(sha256 === undefined ? {} : { stdinFile: await deps.blobs.file(sha256) }),
  };
}

/** Signals sizes and tails to the task's workflow: at most one a second, fewer as it grows older, none without news. */
function tellAdvance(deps: Deps, input: TaskRef & { readonly startedAtMs: number }) {
  const handle = deps.client.workflow.getHandle(taskWorkflowId(input.leaseId, input.taskId));
  let news: OutputAdvanced | undefined;
  let toldAtMs = input.startedAtMs;
  const timer = setInterval(() => {
    const nowMs = Date.now();
    if (!news || nowMs - toldAtMs < signalGapMs(nowMs - input.startedAtMs)) return;
    toldAtMs = nowMs;
    const advanced = news;
    news = undefined;
    // Only a view for people who look on: the store is the truth, and the next advance says it again.
    handle
      .signal(taskSignals.outputAdvanced, advanced)
      .catch((error: unknown) => deps.logger.debug({ error }, 'outputAdvanced'));
  }, 500);
  return { timer, stored: (advanced: OutputAdvanced): void => void (news = advanced) };
}
