import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stateFolder } from '../../src/config/state-folder.ts';
import { ensureStack, findStack, runForeground } from '../../src/dev/stack.ts';
import { freshFolder } from '../output/store-kit.ts';

it('a state folder that is a file, or lies below one, is the caller’s to change', async () => {
  const file = join(await freshFolder(), 'file');
  await writeFile(file, '');
  for (const state of [stateFolder(file), stateFolder(join(file, 'below', '.slipway'))]) {
    const refused = expect.objectContaining({
      type: 'InvalidRequest',
      message: expect.stringMatching(new RegExp(`^The state folder ${state.root} cannot be used: E`)) as string,
    }) as Error;
    await expect(findStack(state)).rejects.toThrow(refused);
    await expect(ensureStack(state, { mode: 'background' })).rejects.toThrow(refused);
    await expect(runForeground(state, { onReady: () => undefined, say: () => undefined })).rejects.toThrow(refused);
  }
});
