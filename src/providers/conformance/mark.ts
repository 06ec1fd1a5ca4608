import assert from 'node:assert/strict';
import { connect } from '../../guest/connection.ts';
import type { OpensshKeyPair } from '../../guest/openssh-key.ts';
import type { MachineView } from '../provider.ts';
import { limit, type Subject } from './subject.ts';

/** Of one generation of a machine. */
export interface Keys {
  readonly host: OpensshKeyPair;
  readonly client: OpensshKeyPair;
}

const keepaliveMs = 5_000;
/** On its disk, too: a power cut is one. */
const mark =
  'cat ~/.conformance 2>/dev/null || { cat /proc/sys/kernel/random/uuid >~/.conformance; sync; cat ~/.conformance; }';

/** Logs in by these keys: a word that the machine keeps until it is made anew. '' where there are no guests to log in to. */
export async function markOf(
  subject: Subject,
  access: NonNullable<MachineView['access']>,
  { host, client }: Keys,
): Promise<string> {
  if (!subject.guests) return '';
  const address = { ...access, id: 'conformance', name: 'conformance', hostKey: access.hostKey ?? host.publicKey };
  const connection = await connect(address, client.privateKey, keepaliveMs, limit(subject));
  try {
    const { stdin, stdout, stderr, done } = await connection.exec(`sh -c '${mark}'`);
    stdin.end();
    stderr.resume();
    let said = '';
    stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    assert.equal(await done, 0);
    return said.trim();
  } finally {
    connection.close();
  }
}
