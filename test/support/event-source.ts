/**
 * What a browser's `EventSource` does (html.spec.whatwg.org/multipage/server-sent-events.html): it asks again after every
 * end, with the last id that it has seen, until it is closed, or answered with anything but 200. This one sends headers.
 */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

export interface EventStream {
  readonly events: readonly ServerEvent[];
  /** How often it has asked. */
  readonly asked: number;
  /** The answer after which it does not ask again. */
  readonly refused: Promise<number>;
}

/** @param cut how many bytes of each answer arrive before its connection breaks; undefined: all */
export function openEventStream(
  ask: (headers: Readonly<Record<string, string>>) => Promise<Response>,
  cut: (asked: number) => number | undefined = () => undefined,
  heard: (event: ServerEvent) => void = () => undefined,
): EventStream {
  const events: ServerEvent[] = [];
  let asked = 0;
  let lastEventId = '';
  const take = (block: string): void => {
    let type = 'message';
    const data: string[] = [];
    for (const line of block.split('\n')) {
      const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
      if (field === 'event') type = value;
      if (field === 'data') data.push(value);
      if (field === 'id') lastEventId = value;
    }
    if (data.length === 0) return;
    const event = { type, data: data.join('\n'), lastEventId };
    events.push(event);
    heard(event);
  };
  const read = async (answer: Response, mostBytes = Infinity): Promise<void> => {
    const reader = answer.body?.getReader();
    const decoder = new TextDecoder();
    let text = '';
    let left = mostBytes;
    while (left > 0) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done || value === undefined) return;
      text += decoder.decode(value.subarray(0, left), { stream: true });
      left -= value.length;
      const blocks = text.split('\n\n');
      // What is not whole when the connection ends is not an event.
      text = blocks.pop() ?? '';
      blocks.forEach(take);
    }
    await reader?.cancel();
  };
  const refused = (async () => {
    for (;;) {
      const answer = await ask({
        accept: 'text/event-stream',
        ...(lastEventId === '' ? {} : { 'last-event-id': lastEventId }),
      });
      asked += 1;
      if (answer.status !== 200) return answer.status;
      await read(answer, cut(asked));
    }
  })();
  return {
    events,
    get asked(): number {
      return asked;
    },
    refused,
  };
}

/** The class as a page has it, of the one stream that is asked so. */
export function eventSourceOf(
  ask: (headers: Readonly<Record<string, string>>) => Promise<Response>,
  onClose: () => void,
) {
  return class {
    private readonly listeners = new Map<string, (event: ServerEvent) => void>();
    private isClosed = false;
    constructor() {
      openEventStream(
        async (headers) => (this.isClosed ? new Response(undefined, { status: 204 }) : ask(headers)),
        () => undefined,
        (event) => this.listeners.get(event.type)?.(event),
      );
    }
    addEventListener(type: string, listener: (event: ServerEvent) => void): void {
      this.listeners.set(type, listener);
    }
    close(): void {
      this.isClosed = true;
      onClose();
    }
  };
}
