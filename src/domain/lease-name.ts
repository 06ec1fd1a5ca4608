const moods = [
  'amber', 'apt', 'bold', 'brave', 'brisk', 'calm', 'civil', 'clear', 'crisp', 'deft', 'eager', 'early', 'fair', 'fleet',
  'fond', 'fresh', 'gentle', 'glad', 'grand', 'hardy', 'jolly', 'keen', 'kind', 'light', 'lively', 'lucid', 'mellow',
  'merry', 'mild', 'neat', 'nimble', 'noble', 'plain', 'polite', 'proud', 'quick', 'quiet', 'rapid', 'ready', 'royal',
  'sharp', 'shy', 'silent', 'sleek', 'snug', 'solid', 'steady', 'still', 'subtle', 'sunny', 'swift', 'tidy', 'trusty',
  'urban', 'vivid', 'warm', 'wise', 'witty', 'young', 'zesty',
] as const; // prettier-ignore
const animals = [
  'adder', 'auk', 'badger', 'bear', 'bison', 'boar', 'crane', 'crow', 'deer', 'dingo', 'dove', 'eagle', 'eel', 'egret',
  'elk', 'ermine', 'falcon', 'finch', 'fox', 'gecko', 'goose', 'hare', 'hawk', 'heron', 'ibex', 'jackal', 'jay', 'kite',
  'koala', 'lark', 'lemur', 'lion', 'llama', 'lynx', 'marten', 'mink', 'mole', 'moose', 'newt', 'ocelot', 'otter', 'owl',
  'panda', 'pike', 'puma', 'quail', 'raven', 'robin', 'salmon', 'seal', 'shrew', 'stoat', 'stork', 'swan', 'tapir', 'tern',
  'toad', 'viper', 'vole', 'wolf',
] as const; // prettier-ignore
const letters = 'abcdefghjkmnpqrstuvwxyz23456789';

/**
 * A name for a lease whose caller chose none, such as `calm-otter-7f3k`: two words to say aloud, four characters so that it
 * is not taken.
 * @param random numbers in [0, 1)
 */
export function leaseNameFrom(random: () => number): string {
  const one = <T>(from: ArrayLike<T>): T => from[Math.floor(random() * from.length)] as T;
  const tail = Array.from({ length: 4 }, () => one(letters)).join('');
  return `${one(moods)}-${one(animals)}-${tail}`;
}
