// Fetches or builds what the tests need beside npm packages, ahead of them, and says how. Needs dist/.
import { devEnvironment } from '../dist/config/dev-environment.js';
import { findTemporal } from '../dist/dev/temporal-find.js';
import { findPythonSdk } from './python-sdk.mjs';
import { findTestServer } from './test-server.mjs';

const environment = devEnvironment();
const began = performance.now();
const say = (text) =>
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);

// Lines of a bar only each 10 s: a log keeps every one.
let last = -Infinity;
const onProgress = ({ text, fraction }) => {
  if (fraction !== undefined && performance.now() - last < 10_000) return;
  if (fraction !== undefined) last = performance.now();
  say(text);
};

const cli = await findTemporal({ environment, onProgress });
say(`Temporal dev server: ${cli.version.server} (${cli.from}: ${cli.path})`);
const server = await findTestServer({ environment, say });
say('missing' in server ? `Temporal test server: none. ${server.missing}` : `Temporal test server: ${server.from}`);
const python = await findPythonSdk({ environment, say });
say('missing' in python ? `Temporal's Python SDK: none. ${python.missing}` : `Temporal's Python SDK: ${python.from}`);
if (('missing' in server || 'missing' in python) && process.env.NO_TEST_SKIP === '1') process.exitCode = 1;
