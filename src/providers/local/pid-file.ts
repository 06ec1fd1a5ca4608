import { readFile } from 'node:fs/promises';
import { noneIfMissing } from '../../host/missing.ts';
import { isAlive } from '../../host/process-identity.ts';
import { openWire, type Wire } from './wire.ts';
import { protocolVersion, type Hello, type PidFile } from './protocol.ts';

const helloWithinMs = 20_000;

/** What the process that has the folder, or had it last, says of itself. */
export async function readPidFile(path: string): Promise<PidFile | undefined> {
  const text = await readFile(path, 'utf8').catch(noneIfMissing);
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as PidFile);
}

/** Whether that process may live: a service may be in another pid namespace, and only its socket tells. */
export const mayLive = (file: PidFile): boolean => file.served === true || isAlive(file);

/** Of a process that has not answered in time, or broken off: nothing. */
export const helloOf = (wire: Wire): Promise<Hello | undefined> =>
  wire.call('hello', { protocol: protocolVersion }, AbortSignal.timeout(helloWithinMs)).catch(() => undefined);

/** Whether a service has the folder and answers. */
export async function answersFrom(path: string): Promise<boolean> {
  const file = await readPidFile(path);
  if (file?.served !== true) return false;
  const wire = await openWire(file.socket).catch(() => undefined);
  if (wire === undefined) return false;
  const hello = await helloOf(wire);
  wire.close();
  return hello !== undefined;
}
