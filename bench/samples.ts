/** Series of samples by name; each becomes a row. */
export class Samples {
  readonly #series = new Map<string, number[]>();

  add(name: string, value: number): void {
    const series = this.#series.get(name) ?? [];
    series.push(value);
    this.#series.set(name, series);
  }

  of(name: string): readonly number[] {
    return this.#series.get(name) ?? [];
  }
}
