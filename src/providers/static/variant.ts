import { z } from 'zod';
import { DomainError } from '../../domain/failure.ts';
import type { CreateSpec } from '../provider.ts';

/** The provider's own part of a bundle's variant. */
const variant = z.strictObject({
  /** The machine must have all of them. */
  labels: z.record(z.string(), z.string()).default({}),
  /** Counted in a quota. */
  cores: z.int().min(0).exactOptional(),
  memoryMb: z.int().min(0).exactOptional(),
});

/** What is wanted of a machine, and how it becomes clean. @throws DomainError InvalidRequest */
export function checkSpec(
  provider: string,
  spec: CreateSpec,
): { readonly labels: Readonly<Record<string, string>>; readonly reset: NonNullable<CreateSpec['reset']> } {
  const { reset = { commands: [], leaves: [] } } = spec;
  const parsed = variant.safeParse(spec.variant);
  const wrong = [
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.') || 'variant'}: ${issue.message}`),
    // What gives a machine back may be another process, hours later, and keeps nothing that is secret.
    ...reset.commands.flatMap(({ title, command }) =>
      command.secretEnv === undefined ? [] : [`reset command ${title} has secrets`],
    ),
  ];
  if (parsed.success && wrong.length === 0) return { labels: parsed.data.labels, reset };
  throw new DomainError('InvalidRequest', `Provider ${provider} cannot give this machine: ${wrong.join('; ')}.`, {
    hint: 'A variant of a static provider knows labels, and for quotas cores and memoryMb; its reset commands have no secretEnv.',
  });
}
