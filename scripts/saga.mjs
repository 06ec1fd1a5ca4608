// `npm run saga`: every cell of the kit over fake activities, and docs/saga.md. `-- --provider NAME`: what is tried with a
// provider itself (conformance, faults, kills of the worker), and docs/saga-NAME.md. Other arguments are vitest's.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

/** Test files of each provider's own; the kills are the same for all. */
const providers = {
  local: ['test/providers/local.test.ts', 'test/providers/faults-conformance.proof.test.ts'],
  static: [
    'test/providers/static.test.ts',
    'test/providers/static-faults.proof.test.ts',
    'test/providers/static-life.test.ts',
  ],
};

const { values, tokens } = parseArgs({
  options: { provider: { type: 'string' } },
  strict: false,
  allowPositionals: true,
  tokens: true,
});
const { provider } = values;
const own = tokens.find((token) => token.kind === 'option' && token.name === 'provider');
const used = own === undefined ? [] : own.inlineValue ? [own.index] : [own.index, own.index + 1];
const rest = process.argv.slice(2).filter((_, n) => !used.includes(n));

if (provider !== undefined && !Object.hasOwn(providers, provider)) {
  process.stderr.write(
    `saga: there is no provider ${provider}; known: ${Object.keys(providers).join(', ')}. Try: name its test files in scripts/saga.mjs.\n`,
  );
  process.exit(2);
}
const args =
  provider === undefined
    ? ['--root', '.', '--config', 'test/saga/vitest.config.ts', 'test/saga']
    : [...providers[provider], 'test/saga/real'];
const env = provider === undefined ? process.env : { ...process.env, SLIPWAY_SAGA_PROVIDER: provider };
const { status } = spawnSync('npx', ['vitest', 'run', ...args, ...rest], { stdio: 'inherit', env });
process.exit(status ?? 1);
