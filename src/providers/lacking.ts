import { DomainError } from '../domain/failure.ts';

/** Abilities that people ask a machine for, by the name of their capability. */
const words = {
  power: 'switches no machines on and off',
  console: 'has no consoles to read',
  userData: 'keeps no user-data',
  images: 'keeps no images',
} as const;

/** A provider is asked for what it does not have. @param able names of those that do */
export const lacking = (provider: string, ability: keyof typeof words, able: readonly string[]): DomainError =>
  new DomainError('InvalidRequest', `Provider ${provider} ${words[ability]}.`, {
    hint:
      able.length === 0
        ? 'no provider here does.'
        : `${able.join(', ')}: slipway provider list names what each can do.`,
  });

/** No provider is called so. @param configured names of those that there are */
export const noProvider = (name: string, configured: readonly string[]): DomainError =>
  new DomainError('NotFound', `There is no provider ${name}.`, { hint: `configured: ${configured.join(', ')}` });
