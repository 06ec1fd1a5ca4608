import { rm } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { canaries } from '../../chaos/canary.ts';
import { asText, isGood } from '../../chaos/report.ts';
import { runChaos } from '../../chaos/run.ts';
import { schedule } from '../../chaos/schedule.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 600_000 });

describe('chaos', () => {
  it('loses no byte and no machine, and runs nothing twice', async () => {
    const { report } = await runChaos({ schedule: schedule(277, 0.75, 4) });
    // Shows all of it where it is not good.
    expect(isGood(report) ? '' : asText(report)).toBe('');
    const struck = Object.values(report.faults).reduce((sum, count) => sum + count, 0);
    const killed = Object.values(report.kills).reduce((sum, count) => sum + count, 0);
    expect({ struck: struck > 0, killed: killed > 0, tasks: report.audit.tasks > 0 }).toEqual({
      struck: true,
      killed: true,
      tasks: true,
    });
  });

  it('goes red for one debt that is not recorded, and for one byte', async () => {
    const { report, folder } = await runChaos({ schedule: schedule(2149, 0.25, 4), canaries, quietWithinMs: 10_000 });
    expect(isGood(report)).toBe(false);
    const said = asText(report);
    for (const name of ['left: folder m-', 'ledger: canary.1 is an orphan', 'lacks 1 of'])
      expect(said.includes(name) ? name : said).toBe(name);
    await rm(folder ?? '', { recursive: true });
  });
});
