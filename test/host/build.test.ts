import { expect, it } from 'vitest';
import { buildOnDisk, isOutdated } from '../../src/host/build.ts';

it('a process makes room for a later build only, so that two never chase each other away', () => {
  const [a, b] = [
    { id: 'a', builtAtMs: 1 },
    { id: 'b', builtAtMs: 2 },
  ] as const;
  expect([isOutdated(a, b), isOutdated(b, a)]).toEqual([true, false]);
  expect(isOutdated(a, { ...a, builtAtMs: 9 })).toBe(false);
  expect(isOutdated(undefined, a)).toBe(true);
});

it('the build has a name', () => {
  expect(buildOnDisk().id).toMatch(/^[0-9a-f]{64}$/);
});
