// Stands in for dist/api/main.js in tests of the supervisor.
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const root = process.env.SLIPWAY_STATE;
const note = (text) => appendFileSync(join(root, 'order.txt'), `${text}\n`);
const server = createServer((_request, response) => response.end('here\n'));
server.listen(0, '127.0.0.1', () => {
  note('api started');
  const url = `http://127.0.0.1:${server.address().port}`;
  const path = join(root, 'run', 'api.json');
  writeFileSync(
    `${path}.part`,
    JSON.stringify({ pid: process.pid, startedAt: new Date().toISOString(), ready: true, url }),
  );
  renameSync(`${path}.part`, path);
});
process.on('SIGTERM', () => {
  note('api stopped');
  process.exit(0);
});
