import { z } from 'zod';
import { hostKeySources } from '../domain/host-key.ts';
import { isMap } from '../domain/is-map.ts';
import { reclaimPolicies } from '../domain/reuse.ts';
import { durationMs, envMap, envName, guestPath, id, octalMode, sha256Hex, unixName, word, words } from './common.ts';
import { parameterList } from './parameters.ts';
import { userData } from './user-data.ts';

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const durationText = /^(?:\d{1,12}(?:ms|s|m|h|d))+$/;

/** `90000`, `90s`, `1h30m` → milliseconds, at most 400 days. */
export const duration = z.union(
  [
    durationMs,
    z
      .string()
      .regex(durationText)
      .transform((text) => {
        const parts = text.matchAll(/(\d+)(ms|s|m|h|d)/g);
        return [...parts].reduce((sum, part) => sum + Number(part[1]) * unitMs[part[2] as keyof typeof unitMs], 0);
      })
      .pipe(durationMs),
  ],
  { error: 'expected a duration (30s, 5m, 1h, 2d, or whole milliseconds), at least 1 ms and at most 400d' },
);

/** Rules between keys are looked at even where a key by itself is wrong: all mistakes are told at once. */
const evenWhenWrong = { when: ({ value }: { readonly value: unknown }) => isMap(value) };

/** `` `a`, `b` and `c` `` */
const named = (keys: readonly string[]): string =>
  keys.map((key) => `\`${key}\``).join(keys.length > 2 ? ', ' : ' and ');

function oneOf(value: object, keys: readonly string[]): string | undefined {
  const given = keys.filter((key) => key in value);
  if (given.length === 1) return undefined;
  return given.length === 0 ? `needs one of ${named(keys)}` : `has ${named(given)}: only one of them can be`;
}

/** As a file's path, and the root or the home themselves. */
const guestFolder = z.union([guestPath, z.enum(['/', '~'])], {
  error: 'must be absolute on the guest, or start with ~/',
});

/** A file that is installed before ready. `from` is relative to the bundle's own file and lies below its folder. */
const bundleFileEntry = z
  .strictObject({
    path: guestPath.describe('where on the machine; `~/` is the home of who logs in'),
    text: z.string().describe('what it holds, as it stands here').exactOptional(),
    from: z.string().min(1).max(4096).describe('a file beside the bundle, below its folder').exactOptional(),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .describe('where to fetch it, by way of the worker; with `sha256`')
      .exactOptional(),
    sha256: sha256Hex.describe('what the bytes at `url` must be').exactOptional(),
    mode: octalMode.describe("octal, quoted; `'0644'` when absent").exactOptional(),
    owner: unixName.describe('a user of the machine; who logs in when absent').exactOptional(),
    group: unixName.describe('a group of the machine').exactOptional(),
    parents: z.boolean().describe('make missing folders').exactOptional(),
    substitute: z.boolean().describe('put the values of parameters into `text`').exactOptional(),
  })
  .superRefine((file, context) => {
    const wrong = oneOf(file, ['text', 'from', 'url']);
    if (wrong !== undefined) context.addIssue(wrong);
    if ('url' in file && !('sha256' in file)) {
      context.addIssue({
        code: 'custom',
        path: ['url'],
        message: 'needs `sha256` beside it: what it serves may change',
      });
    }
    if ('sha256' in file && !('url' in file)) {
      context.addIssue({ code: 'custom', path: ['sha256'], message: 'goes with `url` only' });
    }
    if ('substitute' in file && !('text' in file)) {
      context.addIssue({ code: 'custom', path: ['substitute'], message: 'goes with `text` only' });
    }
  }, evenWhenWrong);

const bundleCommand = z
  .strictObject({
    title: z
      .string()
      .min(1)
      .max(120)
      .describe('shown in place of the command; takes the place of an inherited one of this title')
      .exactOptional(),
    run: words.describe('a program and its arguments, no shell; `${parameter}` as an item by itself').exactOptional(),
    shell: word.min(1).describe('a text for sh; parameters are `$SLIPWAY_PARAM_NAME` there').exactOptional(),
    env: envMap.describe('its variables, beside those of the parameters').exactOptional(),
    secretEnv: z
      .record(envName, z.string().min(1).max(128))
      .describe('variable: the name of a secret in slipway.yaml')
      .exactOptional(),
    cwd: guestFolder.describe('the folder to run in; the home when absent').exactOptional(),
    user: unixName.describe('who to run as; who logs in when absent').exactOptional(),
    limitMs: duration.describe('its time; that of all customizing when absent').exactOptional(),
    allowFailure: z.boolean().describe('go on when it does not exit 0').exactOptional(),
  })
  .superRefine((command, context) => {
    const wrong = oneOf(command, ['run', 'shell']);
    if (wrong !== undefined) context.addIssue(wrong);
  }, evenWhenWrong);

const variant = z.looseObject({
  provider: id.describe('a name under `providers` of slipway.yaml; all other keys are the provider’s own'),
  cores: z
    .int()
    .min(0)
    .max(1_000_000)
    .describe('what a machine of it counts for in the quota of its account; 1 when absent')
    .exactOptional(),
  memoryMb: z.int().min(0).max(1_000_000_000).describe('as `cores`; 0 when absent').exactOptional(),
});

const gate = z.union([
  z.enum(['steps', 'manual', 'checkin']),
  z.strictObject({
    command: words.describe('a program and its arguments'),
    everyMs: duration.describe('between two tries; 1s when absent').exactOptional(),
  }),
]);
const gates = z.array(gate).min(1).max(10);
const ready = z.union([
  ...gate.options,
  z.strictObject({ all: gates.describe('each of them') }),
  z.strictObject({ any: gates.describe('whichever comes first') }),
]);

/** `readyWithinMs` when a bundle does not say. */
export const defaultReadyWithinMs = 300_000;
export const defaultTtlMs = 3_600_000;
export const defaultMaxTtlMs = 86_400_000;

const absoluteFolder = z
  .string()
  .max(4096)
  .regex(/^\/[^\0\n\r\t]+$/, 'must be absolute on the guest, such as /var/lib/postgresql');

/** Recipes are read by activities, but the titles of their steps travel in histories. */
const stepsLimit = 200;

const phaseKeys = ['provisionWithinMs', 'loadWithinMs', 'accessWithinMs', 'customizeWithinMs'] as const;

const variants = z
  .array(variant)
  .min(1, 'needs at least one variant')
  .max(50)
  .describe('where machines come from, tried in this order; those of a bundle that it extends when absent');

const shape = {
  name: id.describe('the name of the file without `.yaml`, if you want to write it down').exactOptional(),
  summary: z.string().min(1).max(200).describe('a line for people; not inherited').exactOptional(),
  part: z.boolean().describe('true: for others to extend, not leased by itself').exactOptional(),
  extends: z
    .union([id, z.array(id).min(1).max(10)])
    .describe('a bundle, or a list of them, of which this one says more or otherwise')
    .exactOptional(),
  parameters: parameterList.describe('what a lease may choose').exactOptional(),
  userData: userData
    .describe(
      'what a machine does by itself as it first boots, by cloud-init, in the order users, packages, files, scripts; for providers that take user-data. The keys of one that it extends are inherited one by one',
    )
    .exactOptional(),
  files: z
    .array(bundleFileEntry)
    .max(stepsLimit)
    .describe('installed first, in this order, each whole or not at all')
    .exactOptional(),
  commands: z
    .array(bundleCommand)
    .max(stepsLimit)
    .describe('run after the files, in this order; one that does not exit 0 fails the machine')
    .exactOptional(),
  ready: ready
    .describe(
      'when the machine counts as ready after its steps: `steps` (at once, the default), `manual` (somebody says so), `{command}` (it exits 0), `checkin` (its own last stage has posted that it succeeded), `{all: […]}` or `{any: […]}` of these',
    )
    .exactOptional(),
  hostKey: z
    .enum(hostKeySources)
    .describe(
      'where the SSH host key of a machine comes from that is made with user-data: `rotated` (given to it, then one that its guest makes at the first login: the default), `injected` (given to it, and kept), or made by the guest as it first boots and `checkin` (posted as it calls home), `console` (printed there by cloud-init), `first-use` (taken from whoever answers first: a security event in the log)',
    )
    .exactOptional(),
  readyWithinMs: duration.describe('the whole way from create to ready; 5m when absent').exactOptional(),
  provisionWithinMs: duration.describe('until the provider has made it; 2/5 of the whole when absent').exactOptional(),
  loadWithinMs: duration.describe('until it runs and has an address; 3/5 when absent').exactOptional(),
  accessWithinMs: duration.describe('until a full SSH login succeeds; 2/5 when absent').exactOptional(),
  customizeWithinMs: duration.describe('for all files and commands together; 4/5 when absent').exactOptional(),
  lease: z
    .strictObject({
      ttlMs: duration.describe('counts from ready; 1h when absent').exactOptional(),
      maxTtlMs: duration
        .describe('the most that a lease may ask for or be extended to; 1d when absent')
        .exactOptional(),
    })
    .describe('how long')
    .exactOptional(),
  attempts: z.int().min(1).max(10).describe('how many machines a lease may try; 2 when absent').exactOptional(),
  outputLimitBytes: z
    .int()
    .min(0)
    .describe('of each stream of each task; what is beyond is cut, and said to be')
    .exactOptional(),
  reclaim: z
    .enum(reclaimPolicies)
    .describe(
      'what becomes of a pool’s machine when its lease ends: `destroy` (the default), `reload` (made anew from its image, where the provider can) or `reset` (what a tenant left is taken away); a machine of no pool is always destroyed, and one of a `static` provider always reset before another lease gets it',
    )
    .exactOptional(),
  resetCommands: z
    .array(bundleCommand)
    .max(stepsLimit)
    .describe(
      'run first in a reset; one that does not exit 0 has the machine destroyed, or taken out of use where it stands',
    )
    .exactOptional(),
  resetLeaves: z
    .array(absoluteFolder)
    .max(50)
    .describe('folders that a reset leaves alone, because `resetCommands` see to them')
    .exactOptional(),
};

type Shape = z.output<z.ZodObject<typeof shape>>;

const resetKeys = ['resetCommands', 'resetLeaves'] as const;

/** Rules between keys. */
function checkTogether(file: Shape, context: z.core.$RefinementCtx): void {
  const raise = (path: readonly (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path: [...path], message });
  for (const key of resetKeys) {
    if (file[key] !== undefined && file.reclaim !== 'reset') raise([key], 'goes with `reclaim: reset` only');
  }
  const whole = file.readyWithinMs ?? defaultReadyWithinMs;
  for (const key of phaseKeys) {
    const part = file[key];
    if (typeof part !== 'number' || typeof whole !== 'number' || part <= whole) continue;
    const source = file.readyWithinMs === undefined ? ' (the default)' : '';
    raise([key], `${part} ms lies beyond readyWithinMs, ${whole} ms${source}`);
  }
  const { ttlMs, maxTtlMs } = isMap(file.lease) ? file.lease : {};
  if (typeof ttlMs === 'number' && typeof maxTtlMs === 'number' && ttlMs > maxTtlMs) {
    raise(['lease', 'ttlMs'], `${ttlMs} ms is more than maxTtlMs, ${maxTtlMs} ms`);
  }
  const customize = file.customizeWithinMs ?? whole;
  if (!Array.isArray(file.commands) || typeof customize !== 'number') return;
  for (const [n, command] of file.commands.entries()) {
    if (!isMap(command) || typeof command.limitMs !== 'number' || command.limitMs <= customize) continue;
    raise(['commands', n, 'limitMs'], `${command.limitMs} ms lies beyond customizing as a whole, ${customize} ms`);
  }
}

/** What one file holds; its variants may be those of a bundle that it extends. */
export const bundleFile = z.strictObject({ ...shape, variants: variants.exactOptional() });

/**
 * A bundle as a whole, with all that it extends. Durations are milliseconds after parsing; defaults are filled in when it
 * is resolved.
 */
export const wholeBundle = z.strictObject({ ...shape, variants }).superRefine(checkTogether, evenWhenWrong);

export type BundleSpec = z.output<typeof wholeBundle>;
