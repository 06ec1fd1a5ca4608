import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import type { Subject } from '../../src/providers/conformance/subject.ts';
import { withFaults } from '../../src/providers/faults/faulty-provider.ts';
import { faultVerbs } from '../../src/providers/faults/fault-file.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { struckFaults, turnFaults } from '../support/faults.ts';
import { patientProvider } from '../support/patient-provider.ts';
import { sshdPath } from '../support/sshd.ts';
import { startLab, type Lab } from '../support/static-lab.ts';

const sometimes = faultVerbs.map((verb) => ({ verb, count: 1, of: 4 }));
const faults = {
  lostResponse: sometimes,
  // A switch that comes late undoes the next one: of that no provider can know.
  reset: sometimes.filter(({ verb }) => verb !== 'power').map((rule) => Object.assign({ lateMs: 30 }, rule)),
  duplicate: [{ verb: faultVerbs }],
} as const;

describe.skipIf(sshdPath === undefined).each(Object.keys(faults) as (keyof typeof faults)[])(
  'the conformance kit on static, through the fault %s',
  (name) => {
    let lab: Lab;
    let subject: Subject;
    beforeAll(async () => {
      lab = await startLab({ machines: 4, power: true });
      const state = join(lab.root, 'faults');
      turnFaults(state, { lab: faults[name].map((rule) => Object.assign({ fault: name }, rule)) });
      const options = { path: join(state, 'faults.json'), providers: ['lab'] };
      // As the registry and then the core have it.
      const through = (provider: Provider): Provider =>
        patientProvider(withFaults(provider, options), lab.installation);
      subject = { ...lab.subject(), provider: through(lab.provider), again: () => through(lab.again()) };
    });
    afterAll(() => lab.remove());

    for (const { title, run } of conformanceCases) it(title, () => run(subject), 120_000);

    it('and the fault did strike', () => {
      expect(struckFaults(join(lab.root, 'faults')).filter(({ fault }) => fault === name)).not.toEqual([]);
    });
  },
);
