import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import { newMachineOf, type Subject } from '../../src/providers/conformance/subject.ts';
import { faultNames, faultVerbs, type FaultName } from '../../src/providers/faults/fault-file.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { struckFaults } from '../support/faults.ts';
import { localBench, type LocalBench } from '../support/local-machines.ts';
import { patientProvider } from '../support/patient-provider.ts';

/** A count for each verb: a common one would strike the same call of each round for ever. */
const eachVerb = (rule: Readonly<Record<string, unknown>> = {}) =>
  faultVerbs.map((verb) => ({ verb, count: 1, of: 4, ...rule }));

/** Each fault, as often as it can strike and still let one through. */
const faults: Readonly<Record<Exclude<FaultName, 'detour'>, readonly Readonly<Record<string, unknown>>[]>> = {
  lostResponse: eachVerb(),
  rateLimited: eachVerb({ retryAfterMs: 20 }),
  serverError: eachVerb(),
  failure: [
    ...eachVerb({ type: 'CapacityUnavailable', when: 'before' }),
    { verb: 'create', type: 'RateLimited', when: 'after', skip: 2, count: 1, of: 4 },
  ],
  // A switch that comes late undoes the next one: of that no provider can know.
  reset: eachVerb({ lateMs: 30 }).filter(({ verb }) => verb !== 'power'),
  slow: eachVerb({ delayMs: 30 }),
  duplicate: [{ verb: faultVerbs }],
  notVisibleYet: [{ forMs: 60 }],
  listLag: [{ forMs: 600 }],
  lyingDestroy: [{ count: 1, of: 8 }],
  stuckDestroying: [{ forMs: 60, count: 1, of: 4 }],
  forgetKeys: [{}],
};

// A way around the provider's own address changes nothing that the kit looks at.
const names = faultNames.filter((name): name is keyof typeof faults => name !== 'detour');

describe.each(names)('the conformance kit on local, through the fault %s', (name) => {
  let bench: LocalBench;
  let subject: Subject;
  const through = (provider: Provider): Provider => patientProvider(provider, bench.installation);
  beforeAll(() => {
    bench = localBench();
    bench.faults(...faults[name].map((rule) => Object.assign({ fault: name }, rule)));
    subject = { ...bench.subject(), provider: through(bench.provider), again: () => through(bench.again()) };
  });
  afterAll(() => bench.close());

  for (const { title, run } of conformanceCases) it(title, () => run(subject));

  it.runIf(name === 'listLag')(
    'a machine that is younger than the lag is in no list, however slow the host is',
    async () => {
      bench.faults({ fault: name, forMs: 600_000 });
      const ref = await newMachineOf(subject).create(bench.provider);
      expect(await bench.provider.list(bench.installation, bench.signal())).toEqual([]);
      bench.faults();
      await subject.provider.destroy(ref, bench.signal());
    },
  );

  it('and the fault did strike, while nothing is left', async () => {
    bench.faults();
    expect(struckFaults(dirname(bench.folder)).filter(({ fault }) => fault === name)).not.toEqual([]);
    expect(await bench.provider.list(bench.installation, bench.signal())).toEqual([]);
    expect(await bench.remains()).toEqual([]);
  });
});
