import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { besideSsh } from './beside-ssh.ts';
import { crowd, idleLeases } from './crowd.ts';
import { lives } from './life.ts';
import { startOpensshMachine } from './openssh-machine.ts';
import { warmPools } from './pool.ts';
import { startBenchStack, type BenchStack } from './stack.ts';
import { judge, table, type Row } from './stats.ts';
import { vmBundles, vmProvider, vms } from './vm.ts';
import { testImage, withoutVms } from '../test/support/vm-image.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    'idle-minutes': { type: 'string', default: '5' },
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
const rounds = Math.max(50, Number(values.rounds));

const onLocal = 'variants:\n  - provider: local\n';
const bundles = {
  bench: onLocal,
  'bench-warm': onLocal,
  'bench-asked': onLocal,
  openssh: 'variants:\n  - provider: lab\nreclaim: reset\n',
};

/** In this order: a pool that fills itself, or a crowd, is no part of what the others measure. */
const sections: Readonly<Record<string, (stack: BenchStack, client: Client) => Promise<readonly Row[]>>> = {
  openssh: (stack) => besideSsh(stack, { on: 'OpenSSH', bundle: 'openssh', rounds: 20, another: false, budget: 1 }),
  local: (stack) => besideSsh(stack, { on: 'local', bundle: 'bench', rounds: 20, another: true }),
  life: (stack, client) => lives(stack, client, rounds),
  pool: warmPools,
  crowd,
  idle: (stack, client) => idleLeases(stack, client, Number(values['idle-minutes'])),
  vm: async (stack) => (image ? vms(stack, image) : []),
};

const wanted = values.only?.split(',') ?? Object.keys(sections);
for (const name of wanted) {
  if (!(name in sections)) throw new Error(`--only ${name}: there are ${Object.keys(sections).join(', ')}`);
}
/** Root builds it, where QEMU is. */
const image = wanted.includes('vm') && !withoutVms() ? await testImage() : undefined;
const lab = await startOpensshMachine();
const stack = await startBenchStack(
  `providers:\n  lab: {type: static, inventory: ${lab.inventory}}\n${image ? vmProvider(image) : ''}`,
  { ...bundles, ...(image ? vmBundles : {}) },
);
let failed = false;
try {
  const connection = await Connection.connect({ address: stack.temporal });
  const client = new Client({ connection });
  const rows: Row[] = [];
  for (const name of wanted) rows.push(...((await sections[name]?.(stack, client)) ?? []));
  await connection.close();
  const judged = rows.map(judge);
  process.stdout.write(`${table(judged)}\n`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(judged, null, 2)}\n`);
  failed = judged.some((row) => row.met === false);
} finally {
  await stack.stop();
  await lab.remove();
}
process.exitCode = failed ? 1 : 0;
