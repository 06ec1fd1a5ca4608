import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { DomainError } from '../../domain/failure.ts';
import { canonical } from '../../domain/same.ts';
import type { MachineView, Provider, ProviderRef } from '../provider.ts';
import { faultyCalls, type InForce } from './fault-call.ts';
import { chance, settlesWithinMs } from './fault-choice.ts';
import { faultFile, find } from './fault-file.ts';
import { openFaultLog, type FaultLine } from './fault-log.ts';

export interface FaultyOptions {
  /** `faults.json`; `faults.log` and the folder `faults.calls` lie beside it. */
  readonly path: string;
  /** Names of all configured providers. */
  readonly providers: readonly string[];
}

/**
 * Any provider, with the faults that `faults.json` of the state folder names for it; without that file each call costs one
 * stat. It lies outside the driver, which cannot know of it: what the core survives here it survives everywhere.
 * @throws DomainError (each verb) also InvalidRequest when the file has mistakes
 */
export function withFaults(inner: Provider, { path, providers }: FaultyOptions): Provider {
  const { name, resources } = inner;
  const reload = inner.reload?.bind(inner);
  const rekey = inner.rekey?.bind(inner);
  const power = inner.power?.bind(inner);
  const console = inner.console?.bind(inner);
  const file = faultFile(path, providers);
  const log = openFaultLog(join(dirname(path), 'faults.log'), name);
  const calls = faultyCalls(name, join(dirname(path), 'faults.calls', name), file, log);

  /** In the log once for each process: a hidden machine is asked for many times. */
  const said = new Set<string>();
  const told = (line: Omit<FaultLine, 'at' | 'provider'>): void => {
    const text = canonical(line);
    if (!said.has(text)) log.strike(line);
    said.add(text);
  };
  const isStuck = ({ rules }: InForce, ref: ProviderRef): boolean => {
    const untilMs = log.stuckUntilMs(ref);
    const stands = rules.some((rule) => rule.fault === 'stuckDestroying' && rule.forMs === undefined);
    return untilMs === Infinity ? stands : Date.now() < untilMs;
  };
  /** What was made under other keys stays known by its own, also when the rule has gone. */
  const forgotten = async (key: string, signal: AbortSignal): Promise<ProviderRef | undefined> => {
    for (const madeAs of log.madeAs(key)) {
      const ref = await inner.findByKey(madeAs, signal);
      if (ref) return ref;
    }
    return undefined;
  };

  return {
    ...inner,

    capabilities() {
      const own = inner.capabilities();
      const rules = file.rules(name);
      if (!rules) return own;
      return {
        ...own,
        ...(find(rules, 'forgetKeys') ? { idempotentCreate: 'none' as const } : {}),
        settleMs: Math.max(own.settleMs, log.settlingMs(), ...rules.map(settlesWithinMs)),
      };
    },

    create: (key, spec, tags, signal) =>
      calls.call('create', { key }, signal, async (signal, now) => {
        if (!now) return inner.create(key, spec, tags, signal);
        // In the log before the effect: a kill -9 between the two must not show what is hidden, nor lose what was made.
        const hidden = find(now.struck, 'notVisibleYet');
        const untilMs = Date.now() + (hidden?.forMs ?? 0);
        if (hidden) log.strike({ verb: 'create', fault: 'notVisibleYet', key, untilMs });
        const forgets = find(now.rules, 'forgetKeys') !== undefined;
        const known = forgets ? undefined : await forgotten(key, signal);
        if (known) return known;
        const madeAs = forgets ? randomBytes(20).toString('hex') : key;
        if (forgets) log.strike({ verb: 'create', fault: 'forgetKeys', key, madeAs });
        const ref = await inner.create(madeAs, spec, tags, signal);
        if (hidden) log.strike({ verb: 'create', fault: 'notVisibleYet', key, untilMs, ref });
        return ref;
      }),

    findByKey: (key, signal) =>
      calls.call('findByKey', { key }, signal, async (signal, now) => {
        if (!now) return inner.findByKey(key, signal);
        if (log.isHidden(key)) {
          told({ verb: 'findByKey', fault: 'notVisibleYet', key });
          return undefined;
        }
        return (await forgotten(key, signal)) ?? inner.findByKey(key, signal);
      }),

    get: (ref, signal) =>
      calls.call('get', { ref }, signal, async (signal, now): Promise<MachineView> => {
        if (now && log.isHidden(ref)) {
          told({ verb: 'get', fault: 'notVisibleYet', ref });
          return { state: 'absent' };
        }
        const view = await inner.get(ref, signal);
        if (now && view.state !== 'absent' && isStuck(now, ref)) {
          told({ verb: 'get', fault: 'stuckDestroying', ref });
          return { ...view, state: 'destroying' };
        }
        const detour = find(now?.rules ?? [], 'detour');
        if (!detour || !view.access || chance(detour, canonical(ref)) >= (detour.rate ?? 1)) return view;
        told({ verb: 'get', fault: 'detour', ref });
        const { address = view.access.address, port = view.access.port } = detour;
        return { ...view, access: { ...view.access, address, port } };
      }),

    list: (installation, signal) =>
      calls.call('list', {}, signal, async (signal, now) => {
        const items = await inner.list(installation, signal);
        if (!now) return items;
        const lagMs = find(now.struck, 'listLag')?.forMs ?? 0;
        const seen = items.filter(({ createdAt }) => lagMs === 0 || Date.parse(createdAt) <= Date.now() - lagMs);
        if (seen.length < items.length) log.strike({ verb: 'list', fault: 'listLag' });
        return seen.map(({ ref, tags, state, createdAt }) => ({
          key: tags['slipway-key'],
          ref,
          tags,
          state: isStuck(now, ref) ? 'destroying' : state,
          createdAt,
        }));
      }),

    destroy: (ref, signal) =>
      calls.call('destroy', { ref }, signal, async (signal, now) => {
        const stuck = find(now?.struck ?? [], 'stuckDestroying');
        if (stuck) {
          const until = stuck.forMs === undefined ? {} : { untilMs: Date.now() + stuck.forMs };
          log.strike({ verb: 'destroy', fault: 'stuckDestroying', ref, ...until });
        }
        if (now && (stuck || find(now.struck, 'lyingDestroy') || isStuck(now, ref))) return;
        await inner.destroy(ref, signal);
      }),

    ...(reload && {
      reload: (ref, spec, generation, signal) =>
        calls.call('reload', { ref }, signal, (signal) => reload(ref, spec, generation, signal)),
    }),
    ...(rekey && {
      rekey: (ref, identity, generation, signal) =>
        calls.call('rekey', { ref }, signal, (signal) => rekey(ref, identity, generation, signal)),
    }),
    ...(power && {
      power: (ref, action, signal) => calls.call('power', { ref }, signal, (signal) => power(ref, action, signal)),
    }),
    ...(console && {
      console: (ref, maxBytes, signal) =>
        calls.call('console', { ref }, signal, (signal) => console(ref, maxBytes, signal)),
    }),

    ...(resources && {
      resources: {
        list: (installation, signal) =>
          calls.call('listResources', {}, signal, (signal) => resources.list(installation, signal)),
        destroy: (item, signal) =>
          calls.call('destroyResource', { ref: item.ref }, signal, (signal) => resources.destroy(item, signal)),
      },
    }),

    async check(signal, quick) {
      const check = await inner.check(signal, quick);
      try {
        const rules = file.rules(name) ?? [];
        if (rules.length === 0) return check;
        const text = `${rules.map(({ fault }) => fault).join(', ')}: by ${path}`;
        return { ...check, items: [...check.items, { name: 'injected faults', ok: true, text }] };
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        return {
          ...check,
          ok: false,
          items: [...check.items, { name: 'injected faults', ok: false, text: error.message }],
        };
      }
    },

    async close() {
      await calls.settled();
      await inner.close();
    },
  };
}
