import type { Reason } from './failure.ts';

/** A file, or a folder as a tar archive, on its way to the machine of a lease (`put`) or from it (`get`). */
export type FileOrder = { readonly put: PutOrder } | { readonly get: { readonly path: string } };

export interface PutOrder {
  /** Digest of bytes in the blob store. */
  readonly blob: string;
  readonly path: string;
  readonly mode?: string;
  readonly owner?: string;
  readonly group?: string;
  /** Make missing folders. */
  readonly parents?: boolean;
  /** The bytes are a tar archive: its tree takes the path, over what is there. */
  readonly tree?: boolean;
}

/** What was moved. */
export interface FileResult {
  readonly path: string;
  /** Of the file, or of the archive. */
  readonly bytes: number;
  /** Of the same; what was fetched is at `GET /v1/files/{sha256}`. */
  readonly sha256: string;
  /** Octal text; of what was fetched. */
  readonly mode?: string;
  readonly tree: boolean;
  /** A file of a folder changed while it was read. */
  readonly changed?: boolean;
}

/** What became of a path that a lease collects: what was fetched, or why it was not. */
export type CollectedFile = FileResult | { readonly path: string; readonly reason: Reason };

/** How a move stands. */
export interface FileStatus {
  readonly leaseId: string;
  readonly fileId: string;
  readonly state: 'moving' | 'moved';
  readonly result?: FileResult;
}

/** A key that was let in for a time. */
export interface KeyGrant {
  readonly keyId: string;
  /** ISO 8601: it is taken out then, if not before. */
  readonly until: string;
}
