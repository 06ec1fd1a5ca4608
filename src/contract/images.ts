import { z } from 'zod';
import { answer } from './reports.ts';

/** One line of `slipway image list`. */
export interface ImageListing {
  readonly provider: string;
  readonly name: string;
  /** On the disk of its provider; 0: it is not there yet. */
  readonly sizeBytes: number;
  /** Hex, of its content, where that is known. */
  readonly sha256?: string;
  /** By an operator in the settings, or taken of a machine. */
  readonly source: 'configured' | 'captured';
  /** A booted snapshot of it stands ready: its machines are clones of that. */
  readonly warm?: boolean;
  /** ISO 8601; of a captured one. */
  readonly createdAt?: string;
}
const listing = {
  provider: z.string(),
  name: z.string(),
  sizeBytes: z.number(),
  sha256: z.string().exactOptional(),
  source: z.enum(['configured', 'captured']),
  warm: z.boolean().exactOptional(),
  createdAt: z.string().exactOptional(),
};
export const imageListing = answer<ImageListing>(listing);

/** An image that was asked for of a machine. */
export interface CaptureStatus {
  readonly provider: string;
  readonly name: string;
  /** As soon as all of it is there; until then ask again. */
  readonly image?: ImageListing;
}
export const captureStatus = answer<CaptureStatus>({
  provider: z.string(),
  name: z.string(),
  image: imageListing.exactOptional(),
});

const text = z.string().min(1).max(128);
export const imagesQuery = z.strictObject({ provider: text.optional() });
export const captureParams = z.strictObject({ id: z.string().min(1).max(200), image: text });
export const imageParams = z.strictObject({ name: text, image: text });
