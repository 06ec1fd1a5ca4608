import { isCancellation, setCurrentDetails } from '@temporalio/workflow';
import { z } from 'zod';
import { fileOrder } from '../contract/transfer.ts';
import { id } from '../contract/common.ts';
import type { FileResult } from '../domain/transfer.ts';
import { checked, refuseTheRest } from './door.ts';
import { failureOf, reasonOf } from './failures.ts';
import { mover } from './proxies.ts';

const fileInput = z.strictObject({ leaseId: id, fileId: id, order: fileOrder });

/** A file on its way to or from the machine of a lease; it goes on over any number of dead workers. */
export async function file(raw: unknown): Promise<FileResult> {
  refuseTheRest('none', () => undefined);
  const input = checked(fileInput, raw, 'input of workflow file');
  const { order } = input;
  const what = 'put' in order ? `put ${order.put.path}` : `get ${order.get.path}`;
  setCurrentDetails(`**${what}** · lease ${input.leaseId}`);
  try {
    return await mover(what).moveFile(input);
  } catch (error) {
    if (isCancellation(error)) throw error;
    throw failureOf(reasonOf(error, { type: 'GuestUnreachable', message: 'timed out.' }));
  }
}
