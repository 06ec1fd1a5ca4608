import { DefaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';

/** Stands where a payload could not be read; the door refuses it by name. */
export interface Unreadable {
  readonly 'slipway:unreadable': string;
}

export const isUnreadable = (value: unknown): value is Unreadable =>
  typeof value === 'object' && value !== null && 'slipway:unreadable' in value;

/**
 * The default converter, but reading never throws: a stranger's payload in an unknown encoding or broken JSON would else
 * fail the workflow task, which the server retries for ever.
 */
class NeverThrowingConverter implements PayloadConverter {
  private readonly inner = new DefaultPayloadConverter();

  toPayload<T>(value: T): Payload {
    return this.inner.toPayload(value);
  }

  fromPayload<T>(payload: Payload): T {
    try {
      return this.inner.fromPayload<T>(payload);
    } catch (error) {
      return { 'slipway:unreadable': error instanceof Error ? error.message : String(error) } as T;
    }
  }
}

export const payloadConverter: PayloadConverter = new NeverThrowingConverter();
