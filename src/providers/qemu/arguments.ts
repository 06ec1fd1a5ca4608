import type { Accelerator, ImageSettings } from './settings.ts';

/** What decides how a guest's machine looks; a clone's must look like its template's. */
export interface Hardware {
  /** `process.arch`: guests are of the host's kind. */
  readonly arch: string;
  readonly accelerator: Accelerator;
  readonly cores: number;
  readonly memoryMb: number;
  readonly boot: Pick<ImageSettings, 'kernel' | 'initrd' | 'append' | 'firmware'>;
}

export interface Launch {
  /** Tells this QEMU from all others in the process table. */
  readonly name: string;
  readonly uuid: string;
  readonly mac: string;
  /** Absolute; QEMU is started in it. */
  readonly folder: string;
  readonly hardware: Hardware;
  /** Port on loopback that leads to the guest's 22; none for a template. */
  readonly port?: number;
  /** Of what is cloned: the file that holds the guest's memory, and whether it is written (by the template) or copied on write. */
  readonly memory?: { readonly file: string; readonly share: boolean };
  /** It waits for the state of another. */
  readonly incoming?: boolean;
}

/** Pure: a random-looking UUID (version 4) of at least 32 hex digits, the same for the same. */
export const uuidOf = (hex: string): string => hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');

/** Names of what lies in a machine's folder. */
export const inFolder = {
  disk: 'disk.qcow2',
  seed: 'seed',
  qmp: 'qmp',
  pid: 'pid',
  console: 'console',
  /** What a clone is told, and how often it was told anything. */
  identity: 'identity',
  told: 'told',
  /** Its words, in the order of their coming; the first of each kind counts. */
  answer: 'answer',
} as const;

const machineTypes: Readonly<Record<string, string>> = { x64: 'q35', arm64: 'virt' };
/** Of translated code, MiB: the default may take a gigabyte, and 16 makes a boot 1.4 times as long (measured). */
const translatedMb = 128;

export const qemuProgram = (arch: string): string => (arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64');

/** Pure: QEMU's argv. It goes into the background by itself once all that it needs is there, so that its exit is an answer. */
export function qemuArguments(launch: Launch): readonly string[] {
  const { name, uuid, mac, folder, hardware, port, memory, incoming } = launch;
  const { arch, accelerator, cores, memoryMb, boot } = hardware;
  const path = (file: string): string => `${folder}/${file}`;
  // A comma ends a value of QEMU's options.
  const value = (text: string): string => text.replaceAll(',', ',,');
  const words: (readonly string[])[] = [
    ['-name', name, '-uuid', uuid, '-nodefaults', '-no-user-config', '-display', 'none'],
    ['-daemonize', '-pidfile', inFolder.pid],
    ['-machine', [machineTypes[arch] ?? 'q35', ...(memory ? ['memory-backend=ram'] : [])].join(',')],
    ['-accel', accelerator === 'tcg' ? `tcg,thread=multi,tb-size=${translatedMb}` : accelerator],
    ['-cpu', accelerator === 'tcg' ? 'max' : 'host'],
    ['-smp', String(cores), '-m', `${memoryMb}M`],
    // Relative: a socket's path is short, and it is bound before QEMU leaves this folder.
    ['-chardev', `socket,id=qmp,path=${inFolder.qmp},server=on,wait=off`, '-mon', 'chardev=qmp,mode=control'],
    // Appended to, so that whoever keeps it short may cut it.
    ['-chardev', `file,id=console,path=${value(path(inFolder.console))},append=on`, '-serial', 'chardev:console'],
    ['-blockdev', diskNode(path(inFolder.disk)), '-device', 'virtio-blk-pci,drive=disk,bootindex=1'],
    ['-blockdev', seedNode(path(inFolder.seed)), '-device', 'virtio-blk-pci,drive=seed'],
    ['-device', 'virtio-rng-pci'],
    ['-netdev', `user,id=net${port === undefined ? '' : `,hostfwd=tcp:127.0.0.1:${port}-:22`}`],
    // Without a boot over the network: no ROM is needed for it.
    ['-device', `virtio-net-pci,netdev=net,mac=${mac},romfile=`],
  ];
  if (boot.firmware !== undefined) words.push(['-bios', boot.firmware]);
  if (boot.kernel !== undefined) words.push(['-kernel', boot.kernel, '-append', boot.append ?? 'console=ttyS0']);
  if (boot.initrd !== undefined) words.push(['-initrd', boot.initrd]);
  if (memory) {
    const { file, share } = memory;
    words.push(
      ['-object', `memory-backend-file,id=ram,size=${memoryMb}M,mem-path=${value(file)},share=${share ? 'on' : 'off'}`],
      ['-fw_cfg', `name=opt/slipway/identity,file=${value(path(inFolder.identity))}`],
      ['-fw_cfg', `name=opt/slipway/told,file=${value(path(inFolder.told))}`],
      ['-device', 'virtio-serial-pci', '-chardev', `file,id=answer,path=${value(path(inFolder.answer))},append=on`],
      ['-device', 'virtserialport,chardev=answer,name=slipway.answer'],
    );
    // Its change makes the guest's kernel draw new random numbers (Linux 5.18).
    if (arch === 'x64') words.push(['-device', `vmgenid,guid=${uuid}`]);
  }
  if (incoming) words.push(['-incoming', 'defer']);
  return words.flat();
}

/** It lives as long as its machine: nothing has to reach the disk, but all that stops for want of room is told (`get`). */
const diskNode = (path: string): string =>
  JSON.stringify({
    driver: 'qcow2',
    'node-name': 'disk',
    discard: 'unmap',
    cache: { direct: false, 'no-flush': true },
    file: { driver: 'file', filename: path, discard: 'unmap', cache: { direct: false, 'no-flush': true } },
  });

/** A folder that the guest sees as a disk of the label that cloud-init's NoCloud looks for: no ISO to make, no server. */
const seedNode = (path: string): string =>
  JSON.stringify({ driver: 'vvfat', 'node-name': 'seed', dir: path, label: 'cidata', rw: false, 'read-only': true });
