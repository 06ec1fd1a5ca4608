import { z } from 'zod';
import { DomainError } from '../../domain/failure.ts';
import type { CreateSpec } from '../provider.ts';

const defaultDiskMb = 1_024;

/** The provider's own part of a bundle's variant. */
const variant = z.strictObject({
  /** Bound of what the machine can write, MiB; it lies in memory. */
  diskMb: z.int('must be a whole number of MiB').min(16).max(65_536).default(defaultDiskMb),
  /** Counted in a quota; a machine has all of the host's, bounded by nothing. */
  cores: z.int().min(0).exactOptional(),
  memoryMb: z.int().min(0).exactOptional(),
});

/** @throws DomainError InvalidRequest */
export function checkSpec(spec: CreateSpec): { readonly diskMb: number } {
  const wrong = (text: string): DomainError =>
    new DomainError('InvalidRequest', `Provider local cannot make this machine: ${text}.`, {
      hint: 'A variant of local knows diskMb, and for quotas cores and memoryMb.',
    });
  if (!/^[a-z0-9]([a-z0-9-]{0,62})$/.test(spec.hostname)) throw wrong(`host name ${JSON.stringify(spec.hostname)}`);
  const parsed = variant.safeParse(spec.variant);
  if (parsed.success) return parsed.data;
  throw wrong(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'variant'}: ${issue.message}`).join('; '));
}
