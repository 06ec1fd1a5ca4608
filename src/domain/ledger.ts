import type { Reason } from './failure.ts';
import type { SweepReport } from './sweep.ts';

/** What one provider holds because of us, as its last sweep saw it, and who knows of it. */
export interface LedgerLine {
  readonly provider: string;
  /** Machines whose workflow is open; the stuck ones are among them. */
  readonly owned: number;
  /** What nobody owns; each is reclaimed once two looks have found it so. */
  readonly orphaned: number;
  /** Machines that cannot be destroyed now; each is tried for ever. */
  readonly stuck: number;
  /** Machines that a person gave up, and that the provider has still. */
  readonly forgotten: number;
  readonly oldest?: SweepReport['oldest'];
  /** Orphans whose end a scheduled sweep has begun, all in all. */
  readonly reclaimed: number;
  /** Standing machines that nobody gets until somebody puts them back; absent where machines do not stand. */
  readonly out?: number;
  /** The last look; absent while there was none. ISO 8601. */
  readonly look?: { readonly at: string; readonly failure?: Reason };
  /** When the provider last gave a whole inventory: the counts are of then. ISO 8601. */
  readonly lastGoodAt?: string;
  /** Somebody has paused its sweeps: nothing is found by itself. */
  readonly paused?: true;
}

/** What became of the last scheduled sweep of a provider. */
export interface LastSweep {
  /** Of the last one that came to an end. */
  readonly report?: SweepReport;
  /** A later one that did not. */
  readonly broken?: { readonly at: string; readonly failure: Reason };
  readonly paused: boolean;
}

/** Pure. */
export function ledgerLine(
  provider: string,
  { report, broken, paused }: LastSweep,
  stuck: number,
  out?: number,
): LedgerLine {
  const failure = report?.failures[0]?.reason;
  const look = broken ?? (report && { at: report.at, ...(failure ? { failure } : {}) });
  return {
    provider,
    owned: report?.owned ?? 0,
    orphaned: report?.orphans.length ?? 0,
    stuck,
    forgotten: report?.forgotten.length ?? 0,
    ...(report?.oldest ? { oldest: report.oldest } : {}),
    reclaimed: report?.reclaimed ?? 0,
    ...(out === undefined ? {} : { out }),
    ...(look ? { look } : {}),
    ...(report?.lastGoodAt === undefined ? {} : { lastGoodAt: report.lastGoodAt }),
    ...(paused ? { paused } : {}),
  };
}
