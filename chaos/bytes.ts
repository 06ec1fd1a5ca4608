import type { Stream } from '../src/domain/task.ts';
import type { LeasePlan } from './plan.ts';

const word: Record<Stream, string> = { stdout: 'out', stderr: 'err' };
const linesOf = (plan: LeasePlan, stream: Stream): number => (stream === 'stdout' ? plan.outLines : plan.errLines);

/** What a task must have written, made here from its name alone and not from what the guest's tools do. */
export function expectedOutput(plan: LeasePlan, taskId: string, stream: Stream, before = ''): Buffer {
  const lines = plan.parts * linesOf(plan, stream);
  let text = before;
  for (let n = 1; n <= lines; n += 1) text += `${plan.leaseId}/${taskId} ${word[stream]} ${n}\n`;
  return Buffer.from(text);
}

/** The same in bash(1): part `$n` of both streams. */
export function partScript(plan: LeasePlan, taskId: string): string {
  const print = (stream: Stream): string => {
    const lines = linesOf(plan, stream);
    if (lines === 0) return '';
    const from = `$((n * ${lines} + 1))`;
    const to = `$(((n + 1) * ${lines}))`;
    return `seq -f "${plan.leaseId}/${taskId} ${word[stream]} %.0f" ${from} ${to}${stream === 'stderr' ? ' >&2' : ''}; `;
  };
  return print('stdout') + print('stderr');
}

/** Contents of a file, by its lease: no two are alike, and no part of one is like another. */
export function fileBytes({ leaseId, bytes }: LeasePlan): Buffer {
  let text = '';
  while (text.length < bytes) text += `${leaseId} byte ${text.length}\n`;
  return Buffer.from(text.slice(0, bytes));
}
