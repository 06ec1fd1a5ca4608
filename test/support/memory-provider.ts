import { DomainError } from '../../src/domain/failure.ts';
import type { CreateSpec, InventoryItem, OwnerTags, Provider, ProviderRef } from '../../src/providers/provider.ts';

/** The smallest provider that keeps the contract: machines are entries of a map. */
export function memoryProvider(name = 'memory') {
  const machines = new Map<string, InventoryItem>();
  const calls: string[] = [];
  let made = 0;
  const of = (ref: ProviderRef) => machines.get(ref['id'] ?? '');
  const provider: Provider = {
    name,
    capabilities: () => ({
      idempotentCreate: 'token',
      settleMs: 0,
      userDataMaxBytes: 0,
      power: false,
      console: false,
      reload: false,
      rekey: false,
    }),
    async create(key: string, _spec: CreateSpec, tags: OwnerTags) {
      calls.push('create');
      const known = [...machines.values()].find((item) => item.key === key);
      if (known) return known.ref;
      made += 1;
      const ref = { id: `m${made}` };
      machines.set(ref.id, { key, ref, tags, state: 'running', createdAt: new Date().toISOString() });
      return ref;
    },
    async findByKey(key) {
      calls.push('findByKey');
      return [...machines.values()].find((item) => item.key === key)?.ref;
    },
    async get(ref) {
      calls.push('get');
      const access = { address: '127.0.0.1', port: 22, user: 'nobody' };
      return of(ref) ? { state: 'running', access } : { state: 'absent' };
    },
    async list(installation) {
      calls.push('list');
      return [...machines.values()].filter(({ tags }) => tags['slipway-installation'] === installation);
    },
    async destroy(ref) {
      calls.push('destroy');
      machines.delete(ref['id'] ?? '');
    },
    check: async () => ({ ok: true, summary: 'in memory', items: [] }),
    close: async () => {
      if (machines.size > 0) throw new DomainError('Internal', `${machines.size} machines are left.`);
    },
  };
  return { provider, calls, machines };
}
