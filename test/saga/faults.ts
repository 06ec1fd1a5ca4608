import { ApplicationFailure, CancelledFailure, Context, type Info } from '@temporalio/activity';
import type { Activities } from '../../src/activities/activities.ts';
import type { ActivityName } from '../support/fake-world.ts';
import type { Side } from './cells.ts';

/**
 * `held`: it waits until it is let go, or hears its cancellation, unless it is deaf. `silent`: it never answers, and sends
 * no heartbeat; `attempts` says whether only the first attempt does so or every one of the same activity.
 */
export type Fault =
  | { readonly kind: 'fails'; readonly forGood: boolean }
  | { readonly kind: 'twice' }
  | { readonly kind: 'held'; readonly deaf: boolean }
  | { readonly kind: 'silent'; readonly attempts: 'first' | 'all' };

export interface Point {
  readonly activity: ActivityName;
  readonly side: Side;
  readonly fault: Fault;
  /** Which call is meant: by its workflow, and by its input. The first such call is the one. */
  readonly at: (workflowId: string, input: unknown) => boolean;
}

export type ArmedPoint = ReturnType<typeof armed>;

type Call = () => Promise<unknown>;

const beatMs = 300;

/** A fault at one activity, which happens to one call (or to every attempt of one activity) and is counted. */
function armed(point: Point) {
  const { side, fault } = point;
  let fired = 0;
  let seen = 0;
  let isOver = false;
  let taken: string | undefined;
  const touched = new Set<Promise<unknown>>();
  const reached = deferred();
  const released = deferred();
  const overtaken = deferred();
  const fire = (): void => {
    fired += 1;
    reached.resolve();
  };

  /** Does its work up to the side of the fault; false: another call has taken it meanwhile. */
  const upTo = async (id: string, call: Call): Promise<{ readonly mine: boolean; readonly result?: unknown }> => {
    const result = side === 'after' ? await call() : undefined;
    if (taken !== undefined) return { mine: false, result };
    taken = id;
    return { mine: true, result };
  };
  const rest = (call: Call, result: unknown): Promise<unknown> => (side === 'after' ? Promise.resolve(result) : call());

  async function run(id: string, call: Call): Promise<unknown> {
    if (isOver) return call();
    if (taken !== undefined) {
      if (taken !== id) return call();
      if (fault.kind === 'twice' && side === 'before') {
        const second = call();
        overtaken.resolve();
        return second;
      }
      if (fault.kind !== 'silent' || fault.attempts === 'first') return call();
    }
    const { mine, result } = await upTo(id, call);
    if (!mine && fault.kind !== 'silent') return rest(call, result);
    switch (fault.kind) {
      case 'fails':
        fire();
        throw ApplicationFailure.create({
          type: 'ProviderUnavailable',
          message: `injected ${side} ${point.activity}`,
          nonRetryable: fault.forGood,
        });
      case 'twice':
        // Before: overtaken by its own second delivery, its effect comes late. After: delivered again.
        if (side === 'before') await Promise.race([overtaken.promise, released.promise]);
        fire();
        return call();
      case 'held':
        reached.resolve();
        await held(released.promise, fault.deaf);
        return rest(call, result);
      case 'silent':
        fire();
        await released.promise;
        throw ApplicationFailure.retryable(`never answered ${side} ${point.activity}`);
    }
  }

  return {
    get fired(): number {
      return fired;
    },
    /** Calls that are meant, with the one that the fault has happened to or will. */
    get seen(): number {
      return seen;
    },
    get isHeld(): boolean {
      return fault.kind === 'held' && taken !== undefined && touched.size > 0;
    },
    /** It has happened; of a held one: it waits there now. */
    reached: reached.promise,
    /** What is done to the world while it is held has been done. */
    fire,
    /** Nothing waits there any more, or will. */
    async over(): Promise<void> {
      isOver = true;
      released.resolve();
      await Promise.allSettled(touched);
    },
    letGo: (): void => released.resolve(),
    takes: (activity: ActivityName, { workflowExecution }: Info, input: unknown): boolean =>
      activity === point.activity && point.at(workflowExecution?.workflowId ?? '', input),
    run(info: Info, call: Call): Promise<unknown> {
      seen += 1;
      const work = run(`${info.workflowExecution?.runId} ${info.activityId}`, call);
      touched.add(work);
      void work.finally(() => touched.delete(work)).catch(() => undefined);
      return work;
    },
  };
}

async function held(released: Promise<void>, deaf: boolean): Promise<void> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), beatMs);
  const cancelled = deferred();
  const hear = (): void => cancelled.reject(new CancelledFailure('cancelled while held'));
  const signal = context.cancellationSignal;
  signal.addEventListener('abort', hear, { once: true });
  if (signal.aborted) hear();
  try {
    await (deaf ? released : Promise.race([released, cancelled.promise]));
    // Let go by the death of its worker: it never acts.
    if (signal.aborted) throw new CancelledFailure('cancelled while held');
  } finally {
    clearInterval(beat);
    signal.removeEventListener('abort', hear);
  }
}

function deferred() {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((done, fail) => {
    resolve = done;
    reject = fail;
  });
  // Nobody may wait for it yet.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Stands around any activities, fake or real. */
export function createFaults() {
  const points = new Set<ArmedPoint>();
  const calls = new Map<string, Set<ActivityName>>();
  return {
    arm(point: Point): ArmedPoint {
      const one = armed(point);
      points.add(one);
      return one;
    },
    disarm: (point: ArmedPoint): void => void points.delete(point),
    /** Activities that each workflow has called. */
    calls: calls as ReadonlyMap<string, ReadonlySet<ActivityName>>,
    around(activities: Activities): Activities {
      const wrapped = (Object.keys(activities) as ActivityName[]).map((name) => {
        const plain = activities[name] as (input: unknown) => Promise<unknown>;
        return [
          name,
          async (input: unknown): Promise<unknown> => {
            const { info } = Context.current();
            const workflowId = info.workflowExecution?.workflowId ?? '';
            calls.set(workflowId, (calls.get(workflowId) ?? new Set()).add(name));
            const point = [...points].find((one) => one.takes(name, info, input));
            return point ? point.run(info, () => plain(input)) : plain(input);
          },
        ] as const;
      });
      return Object.fromEntries(wrapped) as unknown as Activities;
    },
  };
}

export type Faults = ReturnType<typeof createFaults>;
