import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { z } from 'zod';
import { duration } from '../contract/bundle.ts';
import { name, words } from '../contract/common.ts';
import { allowedHost } from '../contract/notify.ts';
import { providerSettings } from '../contract/provider-settings.ts';
import { rendezvousFile } from '../contract/rendezvous.ts';
import { DomainError } from '../domain/failure.ts';
import { unknownOwner } from '../domain/owner.ts';
import { accountMistakes } from './accounts.ts';
import type { PoolSettings } from '../domain/pool.ts';
import { replaceFile } from '../host/atomic-file.ts';
import { stampOf } from './bundle-files.ts';
import { pathFrom } from './path-from.ts';
import { poolsFile } from './pools.ts';
import type { StateFolder } from './state-folder.ts';
import { checkYaml, mistakesFailure } from './yaml-mistakes.ts';
import type { Checked, Mistake } from './yaml-mistakes.ts';

/** Where an operator keeps a secret. A file's path is absolute here. */
export type SecretSource =
  { readonly file: string } | { readonly env: string } | { readonly command: readonly string[] };

/** Paths of an inventory and of images are absolute here. */
type ProviderSettings = z.output<typeof providerSettings>;

/** What `slipway.yaml` says, defaults filled in. */
export interface Settings {
  /** Absolute path of the file, whether it is there or not; relative paths in it start from its folder. */
  readonly file: string;
  readonly secrets: Readonly<Record<string, SecretSource>>;
  /** Files that hold the bearer tokens of owners, by owner; absolute here. */
  readonly tokens: Readonly<Record<string, { readonly file: string }>>;
  /** By name; `local` and `qemu` are always there. */
  readonly providers: Readonly<Record<string, ProviderSettings>>;
  /** Those of them that the file names. */
  readonly saidProviders: readonly string[];
  /** Absent: 4800 where it is free. */
  readonly api: {
    readonly port?: number;
    /** Names beside loopback that callers may know the API by, lower case. */
    readonly hosts: readonly string[];
  };
  readonly output: {
    /** Of one stream of one task. */
    readonly limitBytes: number;
    /** Counts from a task's end. */
    readonly keepDays: number;
  };
  /** Absent: guests of this host only are listened for. */
  readonly rendezvous?: z.output<typeof rendezvousFile>;
  readonly sweep: SweepSettings;
  /** By name. */
  readonly pools: Readonly<Record<string, PoolSettings>>;
  /** Hosts that notifications may go to; absent: any that is not link-local. */
  readonly notify?: { readonly allow: readonly string[] };
  /** `hold` while workers of two versions run: what is new in the workflows does not begin yet. */
  readonly upgrade?: 'hold';
}

export interface SweepSettings {
  /** How often each provider's inventory is compared with what we know. */
  readonly everyMs: number;
  /** An orphan is what nobody owns on two looks so far apart. */
  readonly graceMs: number;
}

const secretSource = z
  .strictObject({
    file: z.string().min(1).describe('a file that holds it; a last line break is no part of it').exactOptional(),
    env: z.string().min(1).describe('a variable of the environment of `slipway dev`').exactOptional(),
    command: words.describe('a command that prints it').exactOptional(),
  })
  .describe('where the worker finds a secret, one of the three; jobs and bundles use it by its name')
  .superRefine(
    (source, context) => {
      const given = Object.keys(source).filter((key) => ['file', 'env', 'command'].includes(key));
      if (given.length !== 1) context.addIssue('needs one of `file`, `env` and `command`');
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  );

/** As a `Host` header has it, without its port: a name, an IPv4 address, or an IPv6 one in brackets. */
const hostName = z
  .string()
  .regex(/^([a-z0-9._-]+|\[[0-9a-f:.]+\])$/i, 'is no name of a host (without a port)')
  .max(253)
  .transform((name) => name.toLowerCase());

/** The schema of `slipway.yaml`. */
export const settingsFile = z.strictObject({
  secrets: z.record(name, secretSource).describe('secrets by name').exactOptional(),
  tokens: z
    .record(
      name.refine((owner) => owner !== unknownOwner, 'is the owner of leases that nobody’s token started'),
      z
        .strictObject({ file: z.string().min(1).describe('a file of mode 0600 that holds the bearer token') })
        .describe('who comes with this token to the API is this owner'),
    )
    .describe('owners of leases by name, beside the user who runs the stack')
    .exactOptional(),
  providers: z
    .record(name, providerSettings)
    .superRefine((providers, context) => {
      for (const { provider, key, message } of accountMistakes(providers))
        context.addIssue({ code: 'custom', path: [provider, key], message });
    })
    .describe('where machines come from, by name; `local` and `qemu` are there without being said')
    .exactOptional(),
  api: z
    .strictObject({
      port: z.int().min(1).max(65_535).describe('on loopback; without it 4800, or one that is free').exactOptional(),
      hosts: z
        .array(hostName)
        .max(100)
        .describe('names by which it may be called, beside those of loopback')
        .exactOptional(),
    })
    .describe('the HTTP API')
    .exactOptional(),
  output: z
    .strictObject({
      limitBytes: z
        .int()
        .min(0)
        .describe('kept of each stream of a task (1 GiB); what comes after is counted')
        .exactOptional(),
      keepDays: z.number().min(0).max(36_500).describe('after a task’s end (30)').exactOptional(),
    })
    .describe('what tasks print')
    .exactOptional(),
  rendezvous: rendezvousFile.exactOptional(),
  pools: poolsFile.describe('machines kept warm, by name').exactOptional(),
  sweep: z
    .strictObject({
      everyMs: duration
        .pipe(z.int().min(1_000, 'must be at least 1s').max(86_400_000, 'must be at most 1d'))
        .describe('how often each provider is looked at (1m)')
        .exactOptional(),
      graceMs: duration
        .pipe(z.int().max(3_600_000, 'must be at most 1h'))
        .describe('an orphan is what nobody owns on two looks so far apart (30s)')
        .exactOptional(),
    })
    .describe('the search for machines that nobody owns')
    .exactOptional(),
  notify: z
    .strictObject({
      allow: z.array(allowedHost).describe('the only hosts that may be called: `host`, `host:port` or `*.domain`'),
    })
    .describe('calls to the dispatchers of leases')
    .exactOptional(),
  upgrade: z
    .literal('hold')
    .describe('while workers of two versions run: what is new in the workflows does not begin yet')
    .exactOptional(),
});

type SettingsFile = z.output<typeof settingsFile>;

const defaults = { limitBytes: 1_073_741_824, keepDays: 30 } as const;
/** Together under two minutes: what a crash has orphaned is found by then. */
const sweepDefaults: SweepSettings = { everyMs: 60_000, graceMs: 30_000 };

function secretSourceOf(folder: string, source: NonNullable<SettingsFile['secrets']>[string]): SecretSource {
  if (source.command !== undefined) return { command: source.command };
  if (source.env !== undefined) return { env: source.env };
  return { file: pathFrom(folder, source.file ?? '') };
}

function withPaths(folder: string, provider: ProviderSettings): ProviderSettings {
  if (provider.type === 'static') return { ...provider, inventory: pathFrom(folder, provider.inventory) };
  if (provider.type !== 'qemu') return provider;
  if (provider.images === undefined) return provider;
  const images = Object.entries(provider.images).map(([key, image]) => {
    const found = imagePaths.flatMap((at) => (image[at] === undefined ? [] : [[at, pathFrom(folder, image[at])]]));
    return [key, { ...image, ...(Object.fromEntries(found) as typeof image) }] as const;
  });
  return { ...provider, images: Object.fromEntries(images) };
}

/** There without being said; they cost nothing where nobody uses them. */
const unsaidProviders = { local: { type: 'local' }, qemu: { type: 'qemu' } } as const;

const imagePaths = ['file', 'kernel', 'initrd', 'firmware'] as const;

const providersOf = (folder: string, given: Settings['providers']): Settings['providers'] =>
  Object.fromEntries(Object.entries(given).map(([key, provider]) => [key, withPaths(folder, provider)]));

function settingsOf(file: string, given: SettingsFile): Settings {
  const folder = dirname(file);
  const secrets = Object.entries(given.secrets ?? {}).map(([key, source]) => [key, secretSourceOf(folder, source)]);
  return {
    file,
    secrets: Object.fromEntries(secrets) as Settings['secrets'],
    tokens: Object.fromEntries(
      Object.entries(given.tokens ?? {}).map(([owner, token]) => [owner, { file: pathFrom(folder, token.file) }]),
    ),
    providers: { ...unsaidProviders, ...providersOf(folder, given.providers ?? {}) },
    saidProviders: Object.keys(given.providers ?? {}),
    api: { hosts: [], ...given.api },
    output: { ...defaults, ...given.output },
    sweep: { ...sweepDefaults, ...given.sweep },
    pools: given.pools ?? {},
    ...(given.rendezvous === undefined ? {} : { rendezvous: given.rendezvous }),
    ...(given.notify === undefined ? {} : { notify: given.notify }),
    ...(given.upgrade === undefined ? {} : { upgrade: given.upgrade }),
  };
}

interface Held {
  readonly stamp: string;
  readonly text: string;
  readonly checked: Checked<Settings>;
  readonly good: Settings | undefined;
}

/** One process has few state folders; each file is read again only when it changed. */
const held = new Map<string, Held>();

/** A file that is not there says nothing. */
async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return '';
    throw new DomainError('Internal', `${file} cannot be read.`, { hint: 'It must be a file of this user.', cause });
  }
}

function check(file: string, text: string): Checked<Settings> {
  const checked = checkYaml(file, text, settingsFile, {
    discreet: (path) => path[0] === 'secrets' || path[0] === 'tokens',
    empty: {},
  });
  return checked.ok ? { ok: true, value: settingsOf(file, checked.value) } : checked;
}

async function current(state: StateFolder): Promise<Held> {
  const before = held.get(state.config);
  const stamp = await stampOf([state.config]);
  if (before?.stamp === stamp) return before;
  const text = await textOf(state.config);
  const checked = check(state.config, text);
  const good = checked.ok ? checked.value : (before?.good ?? (await kept(state)));
  const now = { stamp, text, checked, good };
  held.set(state.config, now);
  return now;
}

/** What an earlier process kept; a newer slipway may not take it any more. */
async function kept(state: StateFolder): Promise<Settings | undefined> {
  if (!existsSync(state.goodSettings)) return undefined;
  const checked = check(state.config, await textOf(state.goodSettings));
  return checked.ok ? checked.value : undefined;
}

/** Keeps the file as it stands when it is good: a process that starts while it has mistakes goes on with that. */
export async function keepSettings(state: StateFolder): Promise<void> {
  const { checked, text } = await current(state);
  if (!checked.ok) return;
  if (existsSync(state.goodSettings) && (await textOf(state.goodSettings)) === text) return;
  await replaceFile(state.goodSettings, text);
}

/**
 * `slipway.yaml` as it stands now. The file may be missing. While it has mistakes, its last good version stays in force, so
 * that a slip of the editor fails no running lease and no process that comes back.
 * @throws DomainError InvalidRequest with all mistakes when there was no good version yet
 */
export async function readSettings(state: StateFolder): Promise<Settings> {
  const { checked, good } = await current(state);
  if (good !== undefined) return good;
  throw settingsFailure(state, checked.ok ? [] : checked.mistakes);
}

/** The mistakes of `slipway.yaml` as it stands now, whatever is in force. */
export async function checkSettings(state: StateFolder): Promise<readonly Mistake[]> {
  const { checked } = await current(state);
  return checked.ok ? [] : checked.mistakes;
}

const settingsFailure = (state: StateFolder, mistakes: readonly Mistake[]): DomainError =>
  mistakesFailure(`${basename(state.config)} has`, mistakes, `Mend ${state.config}.`);

/**
 * For who starts something by hand, and can mend the file.
 * @throws DomainError InvalidRequest with all mistakes, whatever is in force
 */
export async function refuseMistakes(state: StateFolder): Promise<void> {
  const mistakes = await checkSettings(state);
  if (mistakes.length > 0) throw settingsFailure(state, mistakes);
}
