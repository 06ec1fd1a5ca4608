import { z } from 'zod';
import { leaseResult, leaseStatus, machineStatus, notification, taskStatus, taskSummary } from './answers.ts';
import { bundleFile } from './bundle.ts';
import { bundleDetail, bundleReport, bundleView } from './bundle-views.ts';
import { captureStatus, imageListing } from './images.ts';
import { inventoryFile } from './inventory.ts';
import {
  leaseListing,
  leaseView,
  machineListing,
  machineView,
  problem,
  providerView,
  standingMachine,
} from './http.ts';
import {
  extendBody,
  forgetBody,
  leaseRequest,
  markReadyBody,
  powerBody,
  reasonBody,
  runTaskBody,
  taskSpec,
} from './lease.ts';
import { taskResult } from './reports.ts';
import { ledgerLine, sweepBody, sweepReport } from './sweep.ts';
import { poolSetBody } from './pool.ts';
import { poolListing, poolStatus } from './pool-views.ts';
import { quotaListing, quotaStatus } from './quota-views.ts';
import { fileOrder, fileStatus, keyBody, keyGrant } from './transfer.ts';

/** What others write: inputs of workflows and messages, bodies of HTTP, files. */
const given: Readonly<Record<string, z.ZodType>> = {
  'lease-request': leaseRequest,
  'task-spec': taskSpec,
  'run-task': runTaskBody,
  extend: extendBody,
  reason: reasonBody,
  'mark-ready': markReadyBody,
  'pool-set': poolSetBody,
  forget: forgetBody,
  power: powerBody,
  sweep: sweepBody,
  'file-order': fileOrder,
  'key-request': keyBody,
  'bundle-file': bundleFile,
  'inventory-file': inventoryFile,
};

/** What we answer. */
const answered: Readonly<Record<string, z.ZodType>> = {
  'lease-status': leaseStatus,
  'lease-view': leaseView,
  'lease-result': leaseResult,
  'lease-listing': leaseListing,
  notification,
  'task-summary': taskSummary,
  'task-status': taskStatus,
  'task-result': taskResult,
  'machine-status': machineStatus,
  'machine-view': machineView,
  'machine-listing': machineListing,
  'pool-status': poolStatus,
  'pool-listing': poolListing,
  'quota-status': quotaStatus,
  'quota-listing': quotaListing,
  'file-status': fileStatus,
  'key-grant': keyGrant,
  'bundle-view': bundleView,
  'bundle-detail': bundleDetail,
  'bundle-report': bundleReport,
  'provider-view': providerView,
  'image-listing': imageListing,
  'capture-status': captureStatus,
  'standing-machine': standingMachine,
  'sweep-report': sweepReport,
  'ledger-line': ledgerLine,
  problem,
};

/** The published JSON Schemas (draft 2020-12) by name, as they lie in `schemas/<name>.json`. */
export function jsonSchemas(): Readonly<Record<string, unknown>> {
  const all = [
    ...Object.entries(given).map(([name, schema]) => [name, schema, 'input'] as const),
    ...Object.entries(answered).map(([name, schema]) => [name, schema, 'output'] as const),
  ];
  return Object.fromEntries(
    all.map(([name, schema, io]) => [name, { title: name, ...z.toJSONSchema(schema, { io, unrepresentable: 'any' }) }]),
  );
}
