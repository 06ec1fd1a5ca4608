import type { ActivityName } from '../support/fake-world.ts';
import type { Cell, What } from './cells.ts';
import { isRefused, isTold, onTheWay } from './kinds.ts';

/** How the target of a cell may end, with others where they matter; more than one where both are right. */
export function allowedOf(cell: Cell): readonly string[] {
  switch (cell.life) {
    case 'lease with a job':
    case 'held lease':
      return isTold(cell.what) ? toldLease(cell) : isRefused(cell) ? refusedLease(cell) : [calmLease(cell)];
    case 'pooled lease':
      return pooledLease(cell);
    case 'machine':
      return isTold(cell.what) ? toldMachine(cell) : [`gone; lease ${leaseOfMachine(cell)}`];
    case 'pool machine':
      return poolMachine(cell);
    case 'pool':
      return pool(cell);
    case 'task':
      return taskEnds(cell);
    case 'file':
      return [cell.what === 'signalled' ? 'done' : closedAs(cell.what)];
    case 'key':
      return keyEnds(cell);
    case 'notification':
      return notificationEnds(cell);
    case 'sweep':
      return [cell.what === 'signalled' ? 'done' : closedAs(cell.what)];
    case 'orphan':
      return cell.what === 'terminated' ? ['terminated', 'terminated, swept'] : ['gone'];
  }
}

type Words<K extends string> = Readonly<Partial<Record<K, string>>>;

/** As the way to the activity ends when nothing is disturbed there for long. */
function calmLease({ life, activity, side }: Cell): string {
  const job = life === 'lease with a job';
  const after = side === 'after';
  const words: Words<ActivityName> = {
    killTask: job ? 'cancelled' : 'released',
    abandonTask: 'failed (GuestLost)',
    watchMachine: after ? 'failed (GuestLost)' : 'released',
    watchChildren: after && job ? 'failed (GuestLost)' : 'released',
    destroyMachine: 'released, another machine',
  };
  return words[activity] ?? 'released';
}

function refusedLease(cell: Cell): readonly string[] {
  const { life, activity, side, what } = cell;
  if (onTheWay.has(activity)) return ['released, another machine'];
  const job = life === 'lease with a job';
  const words: Words<ActivityName> = {
    resolveBundle: what === 'timesOut' ? 'failed (InvalidRequest)' : 'failed (ProviderUnavailable)',
    followTask: job ? 'failed (GuestLost)' : 'released',
    watchMachine: 'released',
    watchChildren: side === 'after' && job ? 'cancelled' : 'released',
  };
  return [words[activity] ?? calmLease(cell)];
}

function toldLease(cell: Cell): readonly string[] {
  const { activity, side, what } = cell;
  const calm = calmLease(cell);
  if (what === 'terminated') return [`terminated; ${machineOfTerminated(cell)}`, ...raced(cell)];
  // The last word was spoken before.
  if (activity === 'forgetSecrets') return [calm];
  // Its close status is Temporal's, whatever has ended it.
  if (what === 'cancelled') return ['closed as Canceled'];
  // Its job was over: it is only hurried.
  if (activity === 'moveFile') return [calm];
  if (activity === 'abandonTask' || activity === 'killTask') return [calm];
  return activity === 'watchMachine' && side === 'after' ? ['cancelled', calm] : ['cancelled'];
}

/** Nobody released it: it finds out by itself that its lease is closed, by its watch or when it tells it something. */
function machineOfTerminated({ activity, side }: Cell): string {
  const causes: Words<ActivityName> = {
    destroyMachine: 'failed',
    forgetSecrets: 'released',
    abandonTask: 'lost',
    watchMachine: side === 'after' ? 'lost' : 'leaseClosed',
  };
  return activity === 'resolveBundle' ? 'no machine' : `machine gone (${causes[activity] ?? 'leaseClosed'})`;
}

const raced = ({ activity, side }: Cell): readonly string[] =>
  activity === 'watchMachine' && side === 'after' ? ['terminated; machine gone (leaseClosed)'] : [];

function leaseOfMachine(cell: Cell): string {
  // It had failed before.
  if (cell.activity === 'gatherEvidence') return 'released, another machine';
  if (isRefused(cell)) return onTheWay.has(cell.activity) ? 'released, another machine' : 'released';
  return cell.activity === 'watchMachine' && cell.side === 'after' ? 'failed (GuestLost)' : 'released';
}

function toldMachine({ activity, what }: Cell): readonly string[] {
  const lost = 'failed (GuestLost)';
  const words: Words<ActivityName> = { watchMachine: lost, powerMachine: lost };
  const failed = onTheWay.has(activity) || activity === 'gatherEvidence';
  const lease = failed ? 'released, another machine' : (words[activity] ?? 'released');
  // What was under way then may still have had its effect, or not.
  if (what === 'terminated') return [`terminated, swept; lease ${lease}`, `terminated; lease ${lease}`];
  // Nobody waits for it: its lease may be given back in that moment.
  return activity === 'powerMachine' ? [`gone; lease ${lease}`, 'gone; lease released'] : [`gone; lease ${lease}`];
}

function taskEnds(cell: Cell): readonly string[] {
  const { activity, side, what } = cell;
  const lease = activity === 'abandonTask' ? 'lease failed (GuestLost)' : 'lease released';
  const ends = (...words: readonly string[]): readonly string[] => words.map((word) => `${word}; ${lease}`);
  if (what === 'terminated') return ends('terminated');
  if (activity === 'killTask') return ends(side === 'before' && isRefused(cell) ? 'exited' : 'cancelled');
  if (activity === 'abandonTask') return ends(what === 'failsForGood' ? 'failed (ProviderUnavailable)' : 'lost');
  return isTold(what) ? ends('cancelled', 'exited') : ends(isRefused(cell) ? 'lost' : 'exited');
}

/** Of what does one thing and has no way of its own to end it. */
function closedAs(what: What): string {
  const words: Words<What> = {
    failsForGood: 'failed (ProviderUnavailable)',
    cancelled: 'closed as Canceled',
    terminated: 'terminated',
  };
  return words[what] ?? 'done';
}

/** At least once: where it is done, and wherever a try has come so far. */
function notificationEnds(cell: Cell): readonly string[] {
  const { side, what } = cell;
  const end = what === 'timesOut' ? 'failed (NotifyUnanswered)' : closedAs(what);
  const told = `${end}; told`;
  if (what === 'terminated') return [end, told];
  return side === 'before' && (isRefused(cell) || what === 'cancelled') ? [end] : [told];
}

/** Where a try may have let the key in and nobody is left to take it out, it goes with its machine. */
function keyEnds(cell: Cell): readonly string[] {
  const { activity, side, what } = cell;
  const left = '; the key goes with its machine';
  if (what === 'terminated')
    return activity === 'takeKeyOut' && side === 'after' ? ['terminated'] : [`terminated`, `terminated${left}`];
  if (!isRefused(cell)) return ['done'];
  const failed = `failed (${what === 'timesOut' ? 'GuestUnreachable' : 'ProviderUnavailable'})`;
  return [activity === 'takeKeyOut' && side === 'before' ? `${failed}${left}` : failed];
}

function pooledLease({ activity, side, what }: Cell): readonly string[] {
  // Its machine is terminated there, while its job runs.
  const isLost = activity === 'watchChildren' && side === 'after';
  const words: Words<What> = {
    signalled: 'cancelled',
    cancelled: 'closed as Canceled',
    terminated: 'terminated',
    failsForGood: isLost ? 'cancelled' : 'released',
  };
  const word = words[what] ?? (isLost ? 'failed (GuestLost)' : 'released');
  return [isLost ? `${word}, swept` : word];
}

function poolMachine(cell: Cell): readonly string[] {
  const { activity, side, what } = cell;
  const isLost = activity === 'watchMachine' && side === 'after';
  const stays = activity === 'destroyMachine' || (!isTold(what) && (activity === 'watchMachine' || !isRefused(cell)));
  const others = stays && !(isLost && what !== 'failsForGood') ? 'no other machine' : 'another machine';
  return (what === 'terminated' ? ['terminated, swept', 'terminated'] : ['gone']).map((word) => `${word}; ${others}`);
}

function pool({ activity, side, what }: Cell): readonly string[] {
  const swept = activity === 'watchChildren' && side === 'after' ? ', swept' : '';
  return [`${what === 'terminated' ? 'terminated' : 'done'}${swept}`];
}
