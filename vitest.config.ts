import { defineConfig } from 'vitest/config';

/** Whole lives under every fault, or over days, minutes each: `npm run proof`, which CI runs beside `npm test`. */
const proof = ['test/**/*.proof.test.ts'];
/** Virtual machines that boot, on an image that is built first: `npm run vm`, where nothing else runs. */
const vm = ['test/**/*.vm.test.ts'];

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'tests', include: ['test/**/*.test.ts'], exclude: [...proof, ...vm] } },
      { extends: true, test: { name: 'proof', include: proof } },
      {
        extends: true,
        test: { name: 'vm', include: vm, fileParallelism: false, globalSetup: ['./test/support/vm-setup.ts'] },
      },
    ],
    pool: 'forks',
    maxWorkers: 2,
    // Stacks of several files start at one moment: none may take the ports that a user's stack prefers.
    env: { SLIPWAY_PORTS: 'any' },
    testTimeout: 30_000,
    hookTimeout: 120_000,
    reporters: ['./test/support/reporter.ts'],
    globalSetup: ['./test/support/global-setup.ts'],
  },
});
