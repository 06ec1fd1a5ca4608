import { open } from 'node:fs/promises';
import { DomainError } from '../../domain/failure.ts';
import { qemuImg } from './process.ts';

export interface DiskFormat {
  readonly format: 'qcow2' | 'raw';
  /** As the guest sees it. */
  readonly sizeBytes: number;
}

interface ImageInfo {
  readonly format: string;
  readonly 'virtual-size': number;
  readonly 'backing-filename'?: string;
  readonly 'format-specific'?: { readonly data?: { readonly 'data-file'?: string } };
}

/** Where a disk without a format of its own says what it is: a partition table, or a file system on the whole of it. */
const marks: readonly (readonly [offset: number, bytes: string])[] = [
  [510, '55aa'],
  [1_080, '53ef'], // ext2 to ext4
  [0, '58465342'], // XFS
  [65_600, '5f42485266535f4d'], // btrfs
];
const headBytes = 65_608;

const whatIsOne =
  'A cloud image is a disk in the format qcow2 or raw: not an archive, an ISO or a page that says where it is.';
const whereItLies = 'Its `file` in slipway.yaml says where it lies; a relative path starts from that file’s folder.';

/**
 * What QEMU would boot. It takes any file at all as a raw disk, so that such a one must show that it is a disk.
 * @param strange it comes from elsewhere: then it may not name other files of this host
 * @throws DomainError InvalidRequest for what is no image
 */
export async function diskFormat(file: string, name: string, strange: boolean): Promise<DiskFormat> {
  const wrong = (why: string, cause?: unknown, hint = whatIsOne): DomainError =>
    new DomainError('InvalidRequest', `Image ${name}: ${file} ${why}.`, {
      hint,
      ...(cause === undefined ? {} : { cause }),
    });
  let text: string;
  try {
    text = await qemuImg(['info', '--output=json', '-U', file]);
  } catch (error) {
    if (error instanceof DomainError && error.message.includes('No such file'))
      throw wrong('is not there', error, whereItLies);
    throw error instanceof DomainError && error.hint === undefined
      ? wrong(`is not an image (${error.message})`, error)
      : error;
  }
  const info = JSON.parse(text) as ImageInfo;
  const { format, 'virtual-size': sizeBytes } = info;
  if (format !== 'qcow2' && format !== 'raw')
    throw wrong(`is in the format ${format}: qemu-img convert -O qcow2 makes one of it`);
  if (strange && (info['backing-filename'] ?? info['format-specific']?.data?.['data-file']) !== undefined)
    throw wrong('is not whole: it names another file');
  if (format === 'raw' && !(await looksLikeDisk(file))) throw wrong('is not an image');
  return { format, sizeBytes };
}

async function looksLikeDisk(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  try {
    const head = Buffer.alloc(headBytes);
    const { bytesRead } = await handle.read(head, 0, headBytes, 0);
    return marks.some(([offset, hex]) => {
      const bytes = Buffer.from(hex, 'hex');
      return offset + bytes.length <= bytesRead && head.subarray(offset, offset + bytes.length).equals(bytes);
    });
  } finally {
    await handle.close();
  }
}
