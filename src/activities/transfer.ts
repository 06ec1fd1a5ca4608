import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/failure.ts';
import type { FileResult, PutOrder } from '../domain/transfer.ts';
import type { FetchSink, Guest } from '../guest/guest.ts';
import type { FetchedPart } from '../output/fetched-store.ts';
import type { Activities } from './activities.ts';
import { beating } from './beat.ts';
import { guestOf, type Deps } from './deps.ts';
import { guestOfLease } from './lease-guest.ts';

/** Files that do not stand still are given up after so many reads. */
const mostReads = 3;

/** What the next attempt must know: which file the part on our disk is of. */
interface Beat {
  readonly stamp?: string;
}

export function transferActivities(deps: Deps): Pick<Activities, 'moveFile' | 'letKeyIn' | 'takeKeyOut'> {
  return {
    async moveFile({ leaseId, fileId, order, guest: given }) {
      let beat: Beat = (Context.current().info.heartbeatDetails as Beat | undefined) ?? {};
      return beating(
        async (signal) => {
          const guest = guestOf(deps, given ?? (await guestOfLease(deps, leaseId)));
          const id = `${leaseId}/${fileId}`;
          if ('put' in order) return put(deps, guest, id, order.put, signal);
          return fetchTo(deps, guest, id, order.get.path, beat.stamp, (stamp) => (beat = { stamp }), signal);
        },
        { details: () => beat, proven: true },
      );
    },
    letKeyIn: ({ leaseId, publicKey }) =>
      beating(async (signal) => guestOf(deps, await guestOfLease(deps, leaseId)).authorizeKeys([publicKey], signal), {
        proven: true,
      }),
    takeKeyOut: ({ leaseId, publicKey }) =>
      beating(async (signal) => guestOf(deps, await guestOfLease(deps, leaseId)).withdrawKeys([publicKey], signal), {
        proven: true,
      }),
  };
}

async function put(deps: Deps, guest: Guest, id: string, order: PutOrder, signal: AbortSignal): Promise<FileResult> {
  const { blob, tree = false, ...as } = order;
  const { path } = await deps.blobs.file(blob);
  const file = { ...as, tree, id, source: { path }, sha256: blob };
  const { path: at, bytes, sha256 } = await guest.installFile(file, signal);
  return { path: at, bytes, sha256, tree };
}

/** From where an earlier attempt stood, if the file is still the same; kept when it is what the guest says it sent. */
export async function fetchTo(
  deps: Pick<Deps, 'fetched'>,
  guest: Pick<Guest, 'fetchFile'>,
  id: string,
  path: string,
  stamp: string | undefined,
  onStamp: (stamp: string) => void,
  signal: AbortSignal,
): Promise<FileResult> {
  const part = await deps.fetched.part(id);
  try {
    let had = stamp === undefined ? undefined : { stamp, bytes: part.bytes };
    for (let reads = 1; reads <= mostReads; reads += 1) {
      const { bytes, mode, tree, changed, sha256 } = await guest.fetchFile(path, sinkOf(part, had, onStamp), signal);
      const own = await part.digest(bytes);
      had = undefined;
      if (sha256 !== undefined && sha256 !== own) continue;
      await part.keep(own, bytes);
      return { path, bytes, sha256: own, mode, tree, ...(changed ? { changed } : {}) };
    }
  } finally {
    await part.close();
  }
  throw new DomainError('InvalidRequest', `${path} changes while it is fetched, ${mostReads} times in a row.`, {
    hint: 'Fetch a copy of it, or end what writes to it.',
  });
}

const sinkOf = (part: FetchedPart, had: FetchSink['had'], onStamp: (stamp: string) => void): FetchSink => ({
  ...(had === undefined ? {} : { had }),
  async begin(stamp, from) {
    await part.truncate(from);
    // A folder is read anew: what there is of it is of no use to the next attempt.
    onStamp(stamp ?? '');
  },
  write: (offset, bytes) => part.write(offset, bytes),
});
