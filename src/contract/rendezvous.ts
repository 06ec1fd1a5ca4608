import { z } from 'zod';

const hostPort = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+):\d{1,5}$/i;
const place = z
  .string()
  .max(260)
  .regex(hostPort, 'must be HOST:PORT, an IPv6 address in brackets')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'has no such port');

/** `rendezvous` of `slipway.yaml`. */
export const rendezvousFile = z
  .strictObject({
    listen: place
      .describe('where the API’s process listens for guests; without it loopback, 4801 or a port that is free')
      .exactOptional(),
    addresses: z
      .array(place)
      .min(1)
      .max(8)
      .describe('where guests reach that, tried in turn; without it the provider’s own way to this host')
      .exactOptional(),
    sameSource: z
      .boolean()
      .describe('refuse a guest that calls from another address than at first (false: such a change is recorded)')
      .exactOptional(),
  })
  .describe('where machines call home ([how ready works](../ready.md))');
