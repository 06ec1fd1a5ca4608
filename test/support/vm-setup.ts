import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import type { ImageSettings } from '../../src/providers/qemu/settings.ts';
import { testImage, withoutVms } from './vm-image.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** What all files of real VMs have in common; not there where these are skipped. */
    readonly vms: { readonly image: ImageSettings; readonly templates: string } | undefined;
  }
}

/** The image, built where there is none, and a folder for the template of it that each file would else boot for itself. */
export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (withoutVms()) {
    project.provide('vms', undefined);
    return undefined;
  }
  const image = await testImage();
  const templates = await mkdtemp(join(tmpdir(), 'slipway-templates-'));
  project.provide('vms', { image, templates });
  return () => rm(templates, { recursive: true, force: true });
}
