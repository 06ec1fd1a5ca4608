/** The value below which the share `q` of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export interface Row {
  readonly name: string;
  readonly unit: 'ms' | 's' | 'events' | 'errors' | 'leases/s' | 'MiB' | '×';
  readonly samples: readonly number[];
  /** The bound; without one the row only informs. */
  readonly budget?: number;
  /** The budget is the least that there must be, not the most. */
  readonly least?: true;
  /** Which of the samples is held against the bound: the median, unless said. */
  readonly at?: 'p95' | 'worst';
}

export interface Judged {
  readonly name: string;
  readonly unit: string;
  readonly rounds: number;
  readonly p50: number;
  readonly p95: number;
  readonly budget?: number;
  readonly least?: true;
  readonly at?: Row['at'];
  readonly met?: boolean;
}

export function judge({ name, unit, samples, budget, least, at }: Row): Judged {
  const p50 = quantile(samples, 0.5);
  const p95 = quantile(samples, 0.95);
  const counted = at === 'worst' ? Math.max(...samples) : at === 'p95' ? p95 : p50;
  return {
    name,
    unit,
    rounds: samples.length,
    p50,
    p95,
    ...(at === undefined ? {} : { at }),
    ...(least === undefined ? {} : { least }),
    ...(budget === undefined
      ? {}
      : { budget, met: samples.length > 0 && (least ? counted >= budget : counted <= budget) }),
  };
}

export function table(rows: readonly Judged[]): string {
  const cells = rows.map((row) => [
    row.name,
    String(row.rounds),
    `${round(row.p50)} ${row.unit}`,
    `${round(row.p95)} ${row.unit}`,
    row.budget === undefined ? '' : `${row.at ?? 'p50'} ${row.least ? '≥' : '≤'} ${row.budget} ${row.unit}`,
    row.met === undefined ? '' : row.met ? 'met' : 'MISSED',
  ]);
  const all = [['what', 'rounds', 'p50', 'p95', 'budget', ''], ...cells];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((cell) => (cell[column] ?? '').length))) ?? [];
  return all
    .map((cell) =>
      cell
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const round = (value: number): number => (value >= 100 ? Math.round(value) : Math.round(value * 100) / 100);
