import type { BundleDetail, BundleReport, BundleView } from '../contract/bundle-views.ts';
import { DomainError } from '../domain/failure.ts';
import { nearWords } from '../domain/near-words.ts';
import { listAt } from './bundle-check.ts';
import { stampOf } from './bundle-files.ts';
import { bundleFolders } from './bundle-folders.ts';
import type { Found } from './bundle-folders.ts';
import { filesKept } from './bundle-kept.ts';
import type { KeptBundles } from './bundle-kept.ts';
import { loadBundle, readBundle } from './bundle-load.ts';
import type { Bundle, Loaded } from './bundle-load.ts';
import { inOrder, mistakesFailure, mistakeText } from './yaml-mistakes.ts';
import type { Mistake } from './yaml-mistakes.ts';

/** A bundle to lease, and what to tell who leases it, if its file says something else by now. */
export interface BundleInForce extends Bundle {
  readonly notice?: string;
}

/** The bundles of this process. Files are looked at on every call and read again when they changed. */
export interface Bundles {
  list(): Promise<readonly BundleView[]>;
  /** @throws DomainError InvalidRequest for an unknown one, with near names */
  show(name: string): Promise<BundleDetail>;
  /**
   * The bundle as its file stands; its last good version while the file has mistakes.
   * @throws DomainError InvalidRequest for an unknown one (with near names), for one that was never good (with all
   * mistakes, in `details.mistakes` too), and for a part of others
   */
  get(name: string): Promise<BundleInForce>;
  /** Every file of every folder, also those that another one shadows. */
  check(): Promise<BundleReport>;
}

export interface BundlesOptions {
  /** The first one that has a bundle wins: the operator's, then the package's own. A missing folder is an empty one. */
  readonly folders: readonly string[];
  /** Names of the configured providers. */
  readonly providers: readonly string[];
  /** For bundles that do not say; 1 GiB when absent. */
  readonly outputLimitBytes?: number;
  /** Where last good versions outlive the process; without, they are this process's own. */
  readonly kept?: KeptBundles;
  /** Told when a good version could not be kept: it is in force all the same. */
  readonly onKeepFailed?: (name: string, error: unknown) => void;
}

const defaultOutputLimitBytes = 1_073_741_824;

interface Good {
  readonly bundle: Bundle;
  /** ISO 8601: since when it is in force. */
  readonly since: string;
}
interface Held {
  readonly loaded: Loaded;
  readonly good: Good | undefined;
}

export function createBundles(options: BundlesOptions): Bundles {
  const { kept } = options;
  const folders = bundleFolders(options.folders);
  const loadOptions = {
    providers: options.providers,
    outputLimitBytes: options.outputLimitBytes ?? defaultOutputLimitBytes,
    candidates: folders.candidates,
    names: async () => (await folders.visible()).map(({ name }) => name),
  };
  const held = new Map<string, Held>();
  const loading = new Map<string, Promise<Held>>();

  const recall = async ({ name, file }: Found): Promise<Good | undefined> => {
    const version = await kept?.recall(name, file);
    if (version === undefined) return undefined;
    // One that today's rules refuse is not in force.
    const read = await readBundle(file, name, loadOptions, filesKept(version));
    return read.ok ? { bundle: read.value, since: version.since } : undefined;
  };
  const keep = async (bundle: Bundle): Promise<void> => {
    try {
      await kept?.keep(bundle);
    } catch (error) {
      options.onKeepFailed?.(bundle.name, error);
    }
  };
  const load = async (found: Found): Promise<Held> => {
    const before = held.get(found.file);
    if (before !== undefined && (await stampOf(before.loaded.watched)) === before.loaded.stamp) return before;
    const loaded = await loadBundle(found.file, found.name, loadOptions);
    const { result } = loaded;
    if (result.ok) await keep(result.value);
    const good = result.ok
      ? { bundle: result.value, since: new Date().toISOString() }
      : (before?.good ?? (await recall(found)));
    const now = { loaded, good };
    held.set(found.file, now);
    return now;
  };
  const current = (found: Found): Promise<Held> => {
    const underWay = loading.get(found.file);
    if (underWay !== undefined) return underWay;
    const work = load(found).finally(() => loading.delete(found.file));
    loading.set(found.file, work);
    return work;
  };
  const find = async (name: string): Promise<Found> => {
    const all = await folders.visible();
    const found = all.find((each) => each.name === name);
    if (found !== undefined) return found;
    throw unknownBundle(
      name,
      all.map((each) => each.name),
    );
  };

  return {
    list: async () => Promise.all((await folders.visible()).map(async (found) => viewOf(found, await current(found)))),

    show: async (name) => {
      const found = await find(name);
      const entry = await current(found);
      const bundle = entry.good?.bundle;
      const recipe = bundle === undefined ? {} : { recipe: recipeOf(bundle), files: filesOf(bundle) };
      return { ...viewOf(found, entry), parameters: bundle?.parameters ?? [], ...recipe };
    },

    get: async (name) => {
      const { loaded, good } = await current(await find(name));
      if (good?.bundle.part === true) {
        throw new DomainError('InvalidRequest', `Bundle \`${name}\` is a part of others: it is not leased by itself.`, {
          hint: 'slipway bundle list shows those that are.',
        });
      }
      const mistakes = mistakesOf({ loaded });
      if (good !== undefined) {
        return mistakes.length === 0 ? good.bundle : { ...good.bundle, notice: noticeOf(mistakes, good) };
      }
      throw mistakesFailure(`Bundle \`${name}\` has`, mistakes, 'Mend the file; slipway bundle check shows all.');
    },

    check: async () => {
      const found = await folders.all();
      const loaded = await Promise.all(found.map(async (each) => mistakesOf(await current(each))));
      const names = await folders.wrongNames();
      // A mistake in a part is one of every bundle that extends it.
      const each = [...loaded.flat(), ...names].map((mistake) => [JSON.stringify(mistake), mistake] as const);
      const mistakes = inOrder([...new Map(each).values()]);
      return {
        mistakes,
        files: found.length + names.length,
        filesWithMistakes: new Set(mistakes.map((mistake) => mistake.file)).size,
      };
    },
  };
}

const mistakesOf = ({ loaded }: Pick<Held, 'loaded'>): readonly Mistake[] =>
  loaded.result.ok ? [] : loaded.result.mistakes;

/** As written; a good one is a map. */
const recipeOf = (bundle: Bundle | undefined): Readonly<Record<string, unknown>> =>
  (bundle?.data.value ?? {}) as Readonly<Record<string, unknown>>;

const filesOf = (bundle: Bundle): readonly string[] => bundle.layers.map(({ file }) => file);

function viewOf(found: Found, entry: Held): BundleView {
  const { good } = entry;
  const recipe = recipeOf(good?.bundle);
  const { summary } = recipe;
  const providers = listAt(recipe, 'variants').map((variant) => (variant as { provider: string }).provider);
  return {
    ...found,
    ...(typeof summary === 'string' ? { summary } : {}),
    ...(good?.bundle.part ? { part: true } : {}),
    providers: [...new Set(providers)],
    mistakes: mistakesOf(entry),
    inForce: good !== undefined,
    ...(good === undefined ? {} : { version: good.bundle.version, since: good.since }),
  };
}

function noticeOf(mistakes: readonly Mistake[], { bundle, since }: Good): string {
  const [first] = mistakes;
  const more = mistakes.length > 1 ? `, and ${mistakes.length - 1} more` : '';
  const where = first === undefined ? '' : mistakeText(first).slice(0, 300);
  return `Its file has mistakes (${where}${more}): the last good version, ${bundle.version} of ${since}, is in force.`;
}

function unknownBundle(name: string, known: readonly string[]): DomainError {
  const near = nearWords(name, known);
  const others = near.length > 0 ? `Near: ${near.join(', ')}.` : `Known: ${known.slice(0, 10).join(', ') || 'none'}.`;
  return new DomainError('InvalidRequest', `No bundle \`${name.slice(0, 80)}\`. ${others}`, {
    hint: 'slipway bundle list shows them all.',
    details: { near },
  });
}
