import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { DomainError } from '../domain/failure.ts';
import { replaceFile } from '../host/atomic-file.ts';
import type { BlobStore } from '../output/output-store.ts';
import type { BundleFiles, BundleSource } from './bundle-files.ts';
import type { Bundle } from './bundle-load.ts';

/** A version of a bundle as all its files were; their sources lie in the blob store. */
const keptFile = z.object({
  file: z.string(),
  version: z.string(),
  /** ISO 8601: since when it is the last good one. */
  since: z.string(),
  texts: z.record(z.string(), z.string()),
  sources: z.record(z.string(), z.object({ sha256: z.string(), bytes: z.number() })),
});
export type KeptVersion = z.output<typeof keptFile>;

/** The last good versions of bundles, for every process of an installation and over restarts. */
export interface KeptBundles {
  recall(name: string, file: string): Promise<KeptVersion | undefined>;
  keep(bundle: Bundle): Promise<void>;
}

const keptPrefix = 'bundle/';
const keptHolder = (file: string): string =>
  `${keptPrefix}${createHash('sha256').update(file).digest('hex').slice(0, 16)}`;

/** Whether it holds blobs for a last good version: for as long as there is one, which is for good. */
export const holdsForGood = (holder: string): boolean => holder.startsWith(keptPrefix);

/** Puts a source into the blob store, exactly as it was when its bundle was loaded. */
export async function storeSource(bundle: Bundle, source: BundleSource, blobs: BlobStore): Promise<void> {
  if (await blobs.has(source.sha256)) return;
  try {
    await blobs.putStream(source.sha256, createReadStream(source.path), source.bytes);
  } catch (cause) {
    if (cause instanceof DomainError && cause.type !== 'InvalidRequest') throw cause;
    // Retryable: the next look at the bundle sees the file as it is then.
    throw new DomainError('Internal', `Bundle \`${bundle.name}\`: ${source.path} changed while it was read.`, {
      hint: 'slipway bundle check says how it stands now.',
      cause,
    });
  }
}

/** A kept version, read as the files that it was. */
export const filesKept = ({ texts, sources }: KeptVersion): BundleFiles => ({
  read: async (file) => texts[file],
  source: async (folder, from) => {
    const path = resolve(folder, from);
    const source = sources[path];
    return source === undefined ? `${from} was not kept` : { path, ...source };
  },
});

/**
 * @param folder one file for each bundle
 * @param blobs for their sources; without, nothing new is kept
 */
export function createKeptBundles(folder: string, blobs?: BlobStore): KeptBundles {
  // The same name may be the operator's and the package's own.
  const fileOf = (name: string, file: string): string =>
    join(folder, `${name}-${createHash('sha256').update(file).digest('hex').slice(0, 8)}.json`);
  const known = new Map<string, string>();

  const recall: KeptBundles['recall'] = async (name, file) => {
    let text: string;
    try {
      text = await readFile(fileOf(name, file), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    return keptFile.parse(JSON.parse(text));
  };
  return {
    recall,
    async keep(bundle) {
      if (blobs === undefined || known.get(bundle.file) === bundle.version) return;
      let kept = await recall(bundle.name, bundle.file);
      if (kept?.version !== bundle.version) {
        const sources: [string, { sha256: string; bytes: number }][] = [];
        for (const [index, source] of bundle.sources.entries()) {
          if (source === undefined) continue;
          await storeSource(bundle, source, blobs);
          const { file } = bundle.data.place(['files', index]);
          const from = (bundle.data.value as { files: { from: string }[] }).files[index]?.from ?? '';
          sources.push([resolve(dirname(file), from), { sha256: source.sha256, bytes: source.bytes }]);
        }
        kept = {
          file: bundle.file,
          version: bundle.version,
          since: new Date().toISOString(),
          texts: Object.fromEntries(bundle.layers.map(({ file, text }) => [file, text])),
          sources: Object.fromEntries(sources),
        };
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await replaceFile(fileOf(bundle.name, bundle.file), `${JSON.stringify(kept)}\n`);
      }
      const digests = Object.values(kept.sources).map(({ sha256 }) => sha256);
      await blobs.hold(keptHolder(bundle.file), digests);
      known.set(bundle.file, bundle.version);
    },
  };
}
