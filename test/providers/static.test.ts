import { afterAll, beforeAll, describe, it } from 'vitest';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import { sshdPath } from '../support/sshd.ts';
import { startLab, type Lab } from '../support/static-lab.ts';

describe.skipIf(sshdPath === undefined)('the conformance kit on static', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ machines: 4, power: true });
  });
  afterAll(() => lab.remove());
  for (const { title, run } of conformanceCases) it(title, () => run(lab.subject()), 120_000);
});
