import type { MachineView } from '../../contract/http.ts';
import { clock } from './units.ts';

/** `stopped at its provider · off by ana 12:01:02`. */
export function powerLine({ provider, seen, power }: Pick<MachineView, 'provider' | 'seen' | 'power'>): string {
  const state = seen === undefined ? [] : [`${seen} at ${provider}`];
  if (!power) return state.join('');
  const { action, at, by, underWay } = power;
  const word = action === 'reset' ? 'reset' : `switched ${action}`;
  return [...state, `${word}${by === undefined ? '' : ` by ${by}`} ${clock(at)}${underWay ? ', under way' : ''}`].join(
    ' · ',
  );
}
