// Stands in for dist/worker/main.js in tests of the supervisor: writes its ready file, and ends as told by files.
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = process.env.SLIPWAY_STATE;
const note = (text) => appendFileSync(join(root, 'order.txt'), `${text}\n`);
if (existsSync(join(root, 'run', 'worker-broken'))) {
  console.error(JSON.stringify({ level: 60, msg: 'the stand-in worker is broken on purpose', stack: 'at x' }));
  process.exit(3);
}
const stack = JSON.parse(readFileSync(join(root, 'stack.json'), 'utf8'));
note(`worker started for ${stack.temporal.namespace}`);
process.on('SIGTERM', () => {
  note('worker stopped');
  process.exit(0);
});
setInterval(() => undefined, 60_000);
const path = join(root, 'run', 'worker.json');
writeFileSync(`${path}.part`, JSON.stringify({ pid: process.pid, startedAt: new Date().toISOString(), ready: true }));
renameSync(`${path}.part`, path);
