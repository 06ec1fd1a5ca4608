import { createHash } from 'node:crypto';
import { appendFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { freshFolder, noise } from '../output/store-kit.ts';

/** An API that takes blobs, and does something after the digest was made and before the bytes are sent. */
async function serve(meanwhile: () => Promise<void>) {
  const stored = new Map<string, number>();
  const server = createServer((request, response) => {
    const sha256 = request.url?.split('/').at(-1) ?? '';
    if (request.method === 'HEAD') {
      void meanwhile().then(() => response.writeHead(stored.has(sha256) ? 200 : 404).end());
      return;
    }
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    request.on('end', () => {
      if (hash.digest('hex') === sha256) {
        stored.set(sha256, bytes);
        response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ sha256, bytes }));
      } else {
        const problem = { type: 'InvalidRequest', status: 400, detail: 'other bytes' };
        response.writeHead(400, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { stored, client: createClient(async () => ({ url, token: 't' })) };
}

async function uploading(meanwhile: (path: string) => Promise<void> = async () => undefined) {
  const path = join(await freshFolder(), 'file');
  await writeFile(path, noise(300_000));
  const { stored, client } = await serve(() => meanwhile(path));
  return { path, stored, upload: (other = path) => client.upload(other) };
}

describe('a file that is uploaded', () => {
  it('is stored under its digest, and not sent again', async () => {
    const { upload, stored } = await uploading();
    const { sha256, bytes } = await upload();
    expect([...stored]).toEqual([[sha256, bytes]]);
    expect(await upload()).toEqual({ sha256, bytes });
  });

  it('by a link is what the link leads to', async () => {
    const { path, upload } = await uploading();
    await symlink('file', `${path}.link`);
    expect(await upload(`${path}.link`)).toEqual(await upload());
  });

  it('and written to meanwhile is refused, with what to do', async () => {
    const { path, upload, stored } = await uploading((at) => appendFile(at, 'more'));
    await expect(upload()).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: `The file ${path} changed while it was uploaded.`,
      hint: 'Upload a copy of it, or end what writes to it.',
    });
    expect(stored.size).toBe(0);
  });

  it('and taken away meanwhile is refused at once', async () => {
    const { path, upload } = await uploading((at) => rm(at));
    const began = performance.now();
    await expect(upload()).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining(`The file ${path} cannot be read: no such file or directory`) as string,
    });
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('that is a folder, or leads nowhere, cannot be read', async () => {
    const { path, upload } = await uploading();
    await expect(upload(join(path, '..'))).rejects.toMatchObject({
      message: expect.stringContaining('is a folder') as string,
    });
    await symlink('nowhere', `${path}.link`);
    await expect(upload(`${path}.link`)).rejects.toMatchObject({ type: 'InvalidRequest' });
  });
});
