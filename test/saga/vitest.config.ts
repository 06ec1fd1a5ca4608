import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** `npm run saga` alone: it writes a file of the repository. */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      globalSetup: ['./test/saga/write-matrix.ts'],
      exclude: ['test/saga/matrix.proof.test.ts', 'test/saga/real/**'],
    },
  }),
);
