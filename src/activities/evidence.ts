import { DomainError } from '../domain/failure.ts';
import { evidenceBytes, evidenceWithinMs, type Evidence, type EvidenceKind } from '../domain/evidence.ts';
import { isGivenUp } from '../domain/given-up.ts';
import { evidenceKey, stepKey } from '../domain/ids.ts';
import type { TaskResult } from '../domain/task.ts';
import type { Activities } from './activities.ts';
import { beating } from './beat.ts';
import { guestOf, providerOf, type Deps } from './deps.ts';
import { runToEnd } from './follow.ts';
import { refOf } from './until-running.ts';

type Asked = Parameters<Activities['gatherEvidence']>[0];

/** 3: it has no cloud-init. Its log is root's. */
const cloudInit = `command -v cloud-init >/dev/null || exit 3
[ "$(id -u)" = 0 ] || sudo='sudo -n'
$sudo cloud-init status --long
echo
$sudo tail -c 32768 /var/log/cloud-init-output.log`;
const noCloudInit = 3;

export const evidenceActivities = (deps: Deps): Pick<Activities, 'gatherEvidence'> => ({
  gatherEvidence: (asked) =>
    beating(async (signal) => {
      const within = AbortSignal.any([signal, AbortSignal.timeout(evidenceWithinMs)]);
      const all = await Promise.all([
        unlessMute(deps, asked, 'console', () => consoleOf(deps, asked, within)),
        unlessMute(deps, asked, 'cloudInit', () => cloudInitOf(deps, asked, within)),
        lastStepOf(deps, asked),
      ]);
      return { evidence: all.filter((each) => each !== undefined) };
    }),
});

/** Nothing of it keeps the machine: what cannot be had is not there. */
async function unlessMute(
  deps: Deps,
  { machine }: Asked,
  what: EvidenceKind,
  ask: () => Promise<number | undefined>,
): Promise<Evidence | undefined> {
  try {
    const bytes = await ask();
    return bytes ? { what, generation: machine.generation, bytes } : undefined;
  } catch (error) {
    if (!isGivenUp(error) && !(error instanceof DomainError)) throw error;
    deps.logger.info({ machine: machine.machineId, what, error: error.message }, 'a failed machine does not say why');
    return undefined;
  }
}

async function consoleOf(deps: Deps, { machine }: Asked, signal: AbortSignal): Promise<number | undefined> {
  const provider = providerOf(deps, machine.provider);
  if (!provider.console) return undefined;
  const key = evidenceKey(machine.machineId, machine.generation, 'console');
  const before = await deps.outputs.stat(key);
  if (before?.end) return before.stdout.keptBytes;
  const startedAtMs = Date.now();
  const text = Buffer.from(await provider.console(await refOf(deps, machine, signal), evidenceBytes, signal));
  const writer = await deps.outputs.open(key, evidenceBytes);
  try {
    await writer.write('stdout', 0, text);
    const kept = await writer.finish({ stdout: text.length, stderr: 0 });
    await writer.end({ ...read, startedAt: new Date(startedAtMs).toISOString(), durationMs: 0, ...kept });
    return kept.stdout.keptBytes;
  } finally {
    await writer.close();
  }
}

/** A console is no task; its place in the store wants an end all the same. */
const read: Omit<TaskResult, 'stdout' | 'stderr' | 'startedAt' | 'durationMs'> = {
  taskId: 'evidence/console',
  state: 'exited',
  command: ['console'],
  exitCode: 0,
  signal: null,
  timedOut: false,
  cancelled: false,
  lost: false,
};

async function cloudInitOf(deps: Deps, { machine, access }: Asked, signal: AbortSignal): Promise<number | undefined> {
  if (!access) return undefined;
  const command = { shell: cloudInit };
  const result = await runToEnd(
    {
      guest: guestOf(deps, { machine, access }),
      outputs: deps.outputs,
      key: evidenceKey(machine.machineId, machine.generation, 'cloudInit'),
      taskId: 'evidence/cloud-init',
      command,
      launch: { command, limitMs: evidenceWithinMs, graceMs: 0 },
      limitBytes: evidenceBytes,
      startedAtMs: Date.now(),
    },
    signal,
  );
  return result === undefined || result.exitCode === noCloudInit ? undefined : result.stdout.keptBytes;
}

/** It lies there already. */
async function lastStepOf(deps: Deps, { machine, lastStep }: Asked): Promise<Evidence | undefined> {
  for (let step = lastStep; step >= 0; step -= 1) {
    const stat = await deps.outputs.stat(stepKey(machine.machineId, machine.generation, step));
    const bytes = stat ? stat.stdout.keptBytes + stat.stderr.keptBytes : 0;
    if (bytes > 0) return { what: 'step', generation: machine.generation, bytes, step };
  }
  return undefined;
}
