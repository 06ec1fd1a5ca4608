/** An image as `slipway.yaml` names it; paths are absolute here. */
export interface ImageSettings {
  readonly file?: string;
  readonly url?: string;
  /** Of the file, or of what the URL serves: hex. */
  readonly sha256?: string;
  readonly sha512?: string;
  /** For images that are booted without a boot loader of their own. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  /** Firmware in place of the machine type's own, as QEMU's `-bios`. */
  readonly firmware?: string;
  /** Who logs in; `debian`. */
  readonly user?: string;
  /** Machines are clones of one that was booted before. */
  readonly warm?: boolean;
}

export const accelerators = ['kvm', 'hvf', 'tcg'] as const;
export type Accelerator = (typeof accelerators)[number];

/** What the settings of a `qemu` provider say. */
export interface QemuSettings {
  readonly images: Readonly<Record<string, ImageSettings>>;
  /** Absent: what a probe boot proves. */
  readonly accelerator?: Accelerator;
  /** Machines may have so much together; absent: of the host's memory and cores. */
  readonly cores?: number;
  readonly memoryMb?: number;
  readonly machines?: number;
}
