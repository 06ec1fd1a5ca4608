import { z } from 'zod';
import { parameterTypes } from '../domain/parameters.ts';
import type { Parameter } from '../domain/parameters.ts';
import { answer } from './reports.ts';

export interface BundleMistake {
  readonly file: string;
  readonly line: number;
  readonly col: number;
  readonly path: string;
  readonly message: string;
}
const bundleMistake = answer<BundleMistake>({
  file: z.string(),
  line: z.int(),
  col: z.int(),
  path: z.string(),
  message: z.string(),
});

/** One line of `slipway bundle list`. */
export interface BundleView {
  readonly name: string;
  readonly file: string;
  readonly summary?: string;
  /** Of its variants, in order, each once; of the version in force. */
  readonly providers: readonly string[];
  /** Of the file as it stands; the version in force, if any, has none. */
  readonly mistakes: readonly BundleMistake[];
  /** Whether some good version of it can be leased now. */
  readonly inForce: boolean;
  /** Of the version in force: the same files are the same version. */
  readonly version?: string;
  /** Since when that version is in force, by who answers. */
  readonly since?: string;
  /** It is only there for others to extend. */
  readonly part?: boolean;
}
const viewShape = {
  name: z.string(),
  file: z.string(),
  summary: z.string().exactOptional(),
  providers: z.array(z.string()),
  mistakes: z.array(bundleMistake),
  inForce: z.boolean(),
  version: z.string().exactOptional(),
  since: z.string().exactOptional(),
  part: z.boolean().exactOptional(),
};
export const bundleView = answer<BundleView>(viewShape);

const value = z.union([z.string(), z.number(), z.boolean()]);

/** `slipway bundle show`: the version in force. */
export interface BundleDetail extends BundleView {
  readonly parameters: readonly Parameter[];
  /** Those that it extends first, itself last. */
  readonly files?: readonly string[];
  /** As written in them together, without the values of parameters; absent when no version is in force. */
  readonly recipe?: Readonly<Record<string, unknown>>;
}
export const bundleDetail = answer<BundleDetail>({
  ...viewShape,
  parameters: z.array(
    answer<Parameter>({
      name: z.string(),
      type: z.enum(parameterTypes),
      summary: z.string().exactOptional(),
      default: value.exactOptional(),
      required: z.boolean().exactOptional(),
      values: z.array(z.string()).exactOptional(),
      pattern: z.string().exactOptional(),
      min: z.int().exactOptional(),
      max: z.int().exactOptional(),
    }),
  ),
  files: z.array(z.string()).exactOptional(),
  recipe: z.record(z.string(), z.unknown()).exactOptional(),
});

export interface BundleReport {
  readonly mistakes: readonly BundleMistake[];
  readonly files: number;
  readonly filesWithMistakes: number;
}
export const bundleReport = answer<BundleReport>({
  mistakes: z.array(bundleMistake),
  files: z.int(),
  filesWithMistakes: z.int(),
});
