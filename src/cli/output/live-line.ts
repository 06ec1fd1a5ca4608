import type { TextOut } from '../io.ts';
import { cut } from './table.ts';

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 80;

/** One line that is rewritten while something lasts; on anything but a terminal it is never written. */
export class LiveLine {
  readonly #out: TextOut;
  #text: (() => string) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;
  #drawn = false;

  constructor(out: TextOut) {
    this.#out = out;
  }

  show(text: () => string): void {
    if (this.#out.isTTY !== true) return;
    this.#text = text;
    this.#timer ??= setInterval(() => this.#draw(), frameMs);
  }

  /** Takes the line away, so that others can be written; it comes back with the next frame. */
  clear(): void {
    if (this.#drawn) this.#out.write('\r\u001B[K');
    this.#drawn = false;
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#text = undefined;
    this.clear();
  }

  #draw(): void {
    if (!this.#text) return;
    this.#frame += 1;
    const line = `${frames[this.#frame % frames.length]} ${this.#text()}`;
    // A line that wraps could not be taken away again. A terminal that knows no size says 0.
    this.#out.write(`\r\u001B[K${cut(line, Math.max(10, (this.#out.columns || 80) - 1))}`);
    this.#drawn = true;
  }
}
