import { expect, test } from 'vitest';
import type { LeaseStatus } from '../../src/domain/lease.ts';
import { leaseDetails } from '../../src/workflows/details.ts';

const requested = '2026-03-01T10:00:00.000Z';
const status: LeaseStatus = {
  leaseId: 'web',
  state: 'acquiring',
  bundle: { name: 'site' },
  attempts: [],
  times: { requested },
  tasks: [],
};

test('a lease tells Temporal’s UI what can be sent to it, as long as it is open', () => {
  expect(leaseDetails(status)).toContain('`cancel` with `{"reason": "…"}`');
  expect(leaseDetails({ ...status, state: 'released' })).not.toContain('`cancel`');
});

test('a lease tells Temporal’s UI that its bundle’s file has mistakes, and which version is in force', () => {
  const notice = 'Its file has mistakes (site.yaml:3:1): the last good version, abc, is in force.';
  expect(leaseDetails({ ...status, bundle: { name: 'site', notice } })).toContain(notice);
});

test('a lease that waits tells Temporal’s UI for what, and its place', () => {
  const queue = { pool: 'web', since: requested, place: 2, of: 5 };
  expect(leaseDetails({ ...status, queue })).toContain('waits for pool web, place 2 of 5');
  const waiting = { account: 'lab', place: 1, of: 3, why: 'all 4 machines are in use' };
  const attempt = { machineId: 'web.1', provider: 'local', phase: 'queued', phases: [], waiting } as const;
  expect(leaseDetails({ ...status, attempts: [attempt] })).toContain(
    'attempt 1: web.1 on local, queued, waits for account lab, place 1 of 3: all 4 machines are in use',
  );
});
