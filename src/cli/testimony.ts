import type { SlipwayClient } from '../client/client.ts';
import type { LeaseView } from '../contract/http.ts';
import type { Evidence } from '../domain/evidence.ts';
import { withoutEscapes } from './output/escapes.ts';
import { harmless } from './output/table.ts';

export interface Testimony {
  readonly machineId: string;
  readonly evidence: Evidence;
  /** The end of it. */
  readonly text: string;
}

/** What the machine of the last failed attempt had to say. */
export async function testimonyOf(client: SlipwayClient, { attempts }: LeaseView): Promise<readonly Testimony[]> {
  const last = attempts.findLast(({ evidence = [] }) => evidence.length > 0);
  if (!last) return [];
  const { machineId, evidence = [], failedStep } = last;
  // The step that failed is told by itself.
  const others = evidence.filter(({ what, step }) => what !== 'step' || step !== failedStep?.step);
  return Promise.all(
    others.map(async (evidence): Promise<Testimony> => ({
      machineId,
      evidence,
      text: await client.machines.evidenceTail(machineId, evidence),
    })),
  );
}

const titles = { console: 'its console', cloudInit: 'cloud-init', step: 'its last step' } as const;
const shownTestimony = 15;

export function testimonyLines({ evidence: { what, step }, text }: Testimony): readonly string[] {
  const lines = text.trimEnd().split('\n').slice(-shownTestimony);
  const title = step === undefined ? titles[what] : `${titles[what]}, ${step + 1}`;
  return [`    ${title}:`, ...lines.map((line) => `      ${plainLine(line)}`)];
}

/** A console speaks to a terminal. */
const plainLine = (line: string): string =>
  harmless(
    Buffer.from(withoutEscapes()(Buffer.from(line)))
      .toString()
      .replaceAll('\r', ''),
  );
