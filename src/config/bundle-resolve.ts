import { asksCheckIn, planGate } from '../domain/bundle.ts';
import type { CommandStep, Plan, Recipe, RecipeCommand, RecipeFile, RecipeStep } from '../domain/bundle.ts';
import type { BundleSpec } from '../contract/bundle.ts';
import { DomainError } from '../domain/failure.ts';
import type { LeaseRequest, RequestFile } from '../domain/lease.ts';
import type { BlobStore } from '../output/output-store.ts';
import { parameterVariable, readParameters } from '../domain/parameters.ts';
import type { ParameterValues } from '../domain/parameters.ts';
import type { UserData } from '../domain/user-data.ts';
import { specFor } from './bundle-check.ts';
import { leaseTtl, phaseLimits, ttlLimits } from './bundle-limits.ts';
import { storeSource } from './bundle-kept.ts';
import type { Bundle } from './bundle-load.ts';
import type { BundleInForce } from './bundles.ts';
import { requestedBlobs, requestMistakes } from './bundle-request.ts';
import { mistakeText } from './yaml-mistakes.ts';

export interface Resolved {
  readonly recipe: Recipe;
  readonly plan: Plan;
}

type Entry = NonNullable<BundleSpec['files']>[number];
type Command = NonNullable<BundleSpec['commands']>[number];

/** Titles travel in histories, many of them. */
const titleLimit = 120;
const gateEveryMs = 1_000;
/** A failure travels through histories; its message has them all. */
const mostTold = 50;

function titleOf(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= titleLimit ? line : `${line.slice(0, titleLimit - 1)}…`;
}

const fileTitle = ({ path, mode }: { readonly path: string; readonly mode?: string }): string =>
  titleOf(mode === undefined ? path : `${path} ${mode}`);

const commandOf = (run: Command['run'], shell: Command['shell']): RecipeCommand['command'] =>
  run ?? { shell: shell ?? '' };

type Variables = Readonly<Record<string, string>>;

/** Parameters as a command sees them: its own variables come first. */
const variablesOf = (values: ParameterValues): Variables =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [parameterVariable(name), String(value)]));

const withEnv = (given: Variables, own: Variables = {}): { readonly env?: Variables } => {
  const env = { ...given, ...own };
  return Object.keys(env).length === 0 ? {} : { env };
};

function commandStep(command: Command, customizeWithinMs: number, variables: Variables): CommandStep {
  const { title, run, shell, env, limitMs = customizeWithinMs, allowFailure = false, ...as } = command;
  return {
    title: titleOf(title ?? run?.join(' ') ?? shell ?? ''),
    command: { command: commandOf(run, shell), ...as, ...withEnv(variables, env), limitMs, allowFailure },
  };
}

function requestFileStep({ blob, url, sha256, ...as }: RequestFile): RecipeStep {
  const digest = blob ?? sha256;
  const file: RecipeFile = {
    ...as,
    source: blob === undefined ? { url: url ?? '' } : { blob },
    ...(digest === undefined ? {} : { sha256: digest }),
  };
  return { title: fileTitle(file), file };
}

async function bundleFileStep(bundle: Bundle, entry: Entry, index: number, blobs: BlobStore): Promise<RecipeStep> {
  const { text, from: _from, url, sha256, substitute: _substitute, ...as } = entry;
  if (url !== undefined && sha256 !== undefined) {
    return { title: fileTitle(as), file: { ...as, source: { url }, sha256 } };
  }
  const source = bundle.sources[index];
  if (source !== undefined) await storeSource(bundle, source, blobs);
  const digest = source?.sha256 ?? (await blobs.put(Buffer.from(text ?? '', 'utf8')));
  return { title: fileTitle(as), file: { ...as, source: { blob: digest }, sha256: digest } };
}

type GivenUserData = NonNullable<BundleSpec['userData']>;

const userDataOf = ({ files, scripts, ...as }: GivenUserData, variables: Variables): UserData => ({
  ...as,
  ...(files ? { files: files.map(({ substitute: _substitute, ...file }) => file) } : {}),
  ...(scripts
    ? {
        scripts: scripts.map(({ run, shell, env, ...script }) => ({
          ...script,
          command: commandOf(run, shell),
          ...withEnv(variables, env),
        })),
      }
    : {}),
});

type Ready = NonNullable<BundleSpec['ready']>;

function gateOf(ready: Ready, variables: Variables): Recipe['gate'] {
  if (typeof ready === 'string') return { kind: ready };
  if ('command' in ready) {
    return { kind: 'command', command: ready.command, everyMs: ready.everyMs ?? gateEveryMs, ...withEnv(variables) };
  }
  const kind = 'all' in ready ? 'all' : 'any';
  const parts = ('all' in ready ? ready.all : ready.any).map((part) => gateOf(part, variables));
  // The steps are done by then: of all parts they are none, and any is passed.
  const open = parts.filter((part) => part.kind !== 'steps');
  if (open.length === 0 || (kind === 'any' && open.length < parts.length)) return { kind: 'steps' };
  const commands = open.flatMap((part) => {
    if (part.kind !== 'command') return [];
    const { kind: _, ...command } = part;
    return [command];
  });
  const manual = open.some((part) => part.kind === 'manual');
  const checkIn = open.some((part) => part.kind === 'checkin');
  if (commands.length === 0 && manual !== checkIn) return { kind: manual ? 'manual' : 'checkin' };
  return { kind, commands, manual, ...(checkIn ? { checkIn } : {}) };
}

const variantsOf = (spec: BundleSpec | undefined, wanted: string | undefined): BundleSpec['variants'] =>
  (spec?.variants ?? []).filter(({ provider }) => wanted === undefined || provider === wanted);

/** The bundle for this request's parameters. @throws DomainError InvalidRequest naming everything that it asks beyond it */
async function admitted(
  bundle: Bundle,
  request: LeaseRequest,
  blobs: BlobStore,
): Promise<{ readonly spec: BundleSpec; readonly values: ParameterValues }> {
  const { values, mistakes: wrong } = readParameters(bundle.parameters, request.parameters ?? {});
  const mistakes = [...wrong];
  const made = wrong.length > 0 ? undefined : specFor(bundle.data, values);
  if (made?.ok === false) mistakes.push(...made.mistakes.map(mistakeText));
  const whole = made?.ok === true ? made.value : bundle.spec;
  const variants = variantsOf(whole, request.provider);
  if (whole !== undefined && variants.length === 0)
    mistakes.push(
      `bundle \`${bundle.name}\` has no variant of provider ${request.provider} (${whole.variants.map(({ provider }) => provider).join(', ')})`,
    );
  const spec = whole && { ...whole, variants };
  if (spec !== undefined) mistakes.push(...requestMistakes(bundle.name, request, ttlLimits(spec)));
  for (const { where, sha256 } of requestedBlobs(request)) {
    if (await blobs.has(sha256)) continue;
    mistakes.push(`${where}: there is no blob ${sha256}; upload it first (PUT /v1/blobs/${sha256})`);
  }
  if (mistakes.length === 0 && spec !== undefined) return { spec, values };
  throw new DomainError('InvalidRequest', `Lease ${request.leaseId}: ${mistakes.join('; ')}.`, {
    hint: 'Change the request; a lease that was refused leaves nothing behind.',
    details: { mistakes: mistakes.slice(0, mostTold).map((message) => ({ message })) },
  });
}

/**
 * The bundle for one lease: stores the recipe and all bytes that it needs in the blob store, and answers it with the plan
 * that a workflow carries. Repeatable: the same bundle and request give the same digest.
 * @param holder workflow id for whose open time the bytes are kept; who only looks whether it would do gives none
 * @throws DomainError InvalidRequest naming everything that the request asks beyond the bundle; Internal (retryable) when
 * the disk refuses
 */
export async function resolveBundle(
  bundle: BundleInForce,
  request: LeaseRequest,
  blobs: BlobStore,
  holder?: string,
): Promise<Resolved> {
  const { spec, values } = await admitted(bundle, request, blobs);
  const variables = variablesOf(values);
  const limits = phaseLimits(spec);
  const files: RecipeStep[] = [];
  for (const [index, entry] of (spec.files ?? []).entries()) {
    files.push(await bundleFileStep(bundle, entry, index, blobs));
  }
  const keys = request.authorizedKeys ?? [];
  const gate = gateOf(spec.ready ?? 'steps', variables);
  const steps: readonly RecipeStep[] = [
    ...(asksCheckIn(gate) ? [{ title: 'check-in', checkIn: true } as const] : []),
    ...files,
    ...(spec.commands ?? []).map((command) => commandStep(command, limits.customizeWithinMs, variables)),
    ...(keys.length === 0 ? [] : [{ title: `authorized keys (${keys.length})`, authorizedKeys: keys }]),
    ...(request.files ?? []).map(requestFileStep),
  ];
  const recipe: Recipe = {
    name: bundle.name,
    variants: spec.variants.map(({ provider, ...own }) => ({ provider, spec: own })),
    ...(spec.userData ? { userData: userDataOf(spec.userData, variables) } : {}),
    steps,
    gate,
    ...(spec.hostKey === undefined ? {} : { hostKey: spec.hostKey }),
    limits,
    ttlMs: leaseTtl(request, ttlLimits(spec)),
    maxTtlMs: ttlLimits(spec).maxTtlMs,
    attempts: request.attempts ?? spec.attempts ?? 2,
    outputLimitBytes: spec.outputLimitBytes ?? bundle.defaultOutputLimitBytes,
    reclaim: spec.reclaim ?? 'destroy',
    ...(spec.resetCommands
      ? {
          resetCommands: spec.resetCommands.map((command) => commandStep(command, limits.customizeWithinMs, variables)),
        }
      : {}),
    ...(spec.resetLeaves ? { resetLeaves: spec.resetLeaves } : {}),
  };
  const digest = await blobs.put(Buffer.from(JSON.stringify(recipe), 'utf8'));
  if (holder !== undefined) {
    const asked = requestedBlobs(request).map(({ sha256 }) => sha256);
    await blobs.hold(holder, [digest, ...steps.flatMap(blobsOf), ...asked]);
  }
  return { recipe, plan: planOf(recipe, digest, bundle.notice) };
}

const blobsOf = (step: RecipeStep): readonly string[] =>
  'file' in step && 'blob' in step.file.source ? [step.file.source.blob] : [];

function planOf(recipe: Recipe, digest: string, notice: string | undefined): Plan {
  return {
    bundle: { name: recipe.name, digest, ...(notice === undefined ? {} : { notice }) },
    variants: recipe.variants.map((variant) => variant.provider),
    steps: recipe.steps.map((step) => ({
      title: step.title,
      limitMs: 'command' in step ? step.command.limitMs : recipe.limits.customizeWithinMs,
      allowFailure: 'command' in step && step.command.allowFailure,
    })),
    ...planGate(recipe.gate),
    ...(recipe.hostKey === undefined ? {} : { hostKey: recipe.hostKey }),
    ...(recipe.reclaim === 'destroy' ? {} : { reclaim: recipe.reclaim }),
    limits: recipe.limits,
    ttlMs: recipe.ttlMs,
    maxTtlMs: recipe.maxTtlMs,
    attempts: recipe.attempts,
  };
}
