import type { ImageSettings } from './settings.ts';

const build = '20260909-2596';

/**
 * Debian 12 as Debian serves it for clouds, pinned by its digest in that folder's SHA512SUMS: what a provider without images
 * has, on hosts of its architecture.
 */
export const debianImages = (arch: string): Readonly<Record<string, ImageSettings>> =>
  arch === 'x64'
    ? {
        debian: {
          url: `https://cloud.debian.org/images/cloud/bookworm/${build}/debian-12-genericcloud-amd64-${build}.qcow2`,
          sha512:
            '08fea112563461f251f3c95a5c5cf8cb25eb60f74cec03e85a97ff91d3efef3059d35837598bbb476008f20db6d3bdc7143c5f2f2a9a6da394a0acc601fd5986',
          user: 'debian',
          warm: true,
        },
      }
    : {};
