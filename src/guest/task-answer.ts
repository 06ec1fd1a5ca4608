import { DomainError } from '../domain/failure.ts';
import type { GuestTaskState, TaskPoll } from './guest.ts';

const states: ReadonlySet<string> = new Set<GuestTaskState>([
  'absent',
  'running',
  'exited',
  'orphan',
  'rebooted',
  'lost',
  'gone',
]);
const isState = (word: string | undefined): word is GuestTaskState => word !== undefined && states.has(word);

/** Pure: reads `state rc ms out err rebooted cancelled timedOut signal lostOut lostErr` of the task protocol. */
export function taskPoll(words: readonly string[]): TaskPoll {
  const [state, code, ms, out, err, rebooted, cancelled, timedOut, signal, lostOut, lostErr] = words;
  if (!isState(state))
    throw new DomainError('Internal', `The guest answered in an unknown way: ${words.join(' ').slice(0, 200)}`);
  return {
    state,
    exitCode: state === 'exited' ? count(code) : null,
    durationMs: state === 'exited' ? count(ms) : null,
    size: { stdout: count(out), stderr: count(err) },
    rebooted: rebooted === '1',
    cancelled: cancelled === '1',
    timedOut: timedOut === '1',
    signal: signal === 'TERM' || signal === 'KILL' ? signal : null,
    lost: { stdout: lost(lostOut), stderr: lost(lostErr) },
  };
}

const lost = (word: string | undefined): number | null => (word === undefined || word === '-' ? null : count(word));

function count(word: string | undefined): number {
  const value = Number(word);
  if (word === undefined || !Number.isSafeInteger(value))
    throw new DomainError('Internal', `The guest answered no number: ${word}`);
  return value;
}
