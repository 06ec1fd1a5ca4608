import { defineConfig } from 'vitest/config';

/** `npm run histories` alone: it writes files of the repository. */
export default defineConfig({ test: { include: ['test/replay/save-histories.ts'], pool: 'forks' } });
