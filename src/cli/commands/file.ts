import { randomBytes } from 'node:crypto';
import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import type { SlipwayClient } from '../../client/client.ts';
import { DomainError } from '../../domain/failure.ts';
import type { Action, Options } from '../action.ts';
import { isFolder, packed } from '../archive.ts';
import type { Cli } from '../context.ts';
import { exit, exitOf, Interrupted } from '../exit.ts';
import { listenToInterrupts, unlessAborted } from '../interrupts.ts';
import { writeOut } from '../output/pump.ts';
import { harmless } from '../output/table.ts';
import { spokenBytes } from '../output/units.ts';
import { placeFile, targetOf } from '../place-file.ts';
import { errorView } from '../show-error.ts';

export function addFile(program: Command, action: Action): void {
  const file = program
    .command('file')
    .summary('Files and folders to and from leased machines')
    .description('Moves files and folders of any size to and from the machine of a lease.');
  file
    .command('put')
    .summary('Put a file or a folder on the machine of a lease')
    .argument('<lease>')
    .argument('<local>', 'a file, or a folder with all that is in it')
    .argument('<remote>', 'where on the machine; below it, when it ends with /')
    .option('--mode <octal>', 'of the file, such as 0755 (a folder keeps its own)')
    .option('--owner <name>', 'a user of the machine')
    .option('--group <name>', 'a group of the machine')
    .option('--parents', 'make missing folders')
    .action(
      action({}, (cli, [lease, local, remote], options) =>
        moving(cli, lease as string, (client, fileId, signal) =>
          put(
            cli,
            client,
            { lease: lease as string, fileId, local: local as string, remote: remote as string },
            options,
            signal,
          ),
        ),
      ),
    );
  file
    .command('get')
    .summary('Get a file or a folder from the machine of a lease')
    .argument('<lease>')
    .argument('<remote>', 'a file, or a folder with all that is in it')
    .argument('[local]', 'where here; its own name in this folder when absent; - for standard output')
    .action(
      action({}, (cli, [lease, remote, local], _options) =>
        moving(cli, lease as string, (client, fileId, signal) =>
          get(
            cli,
            client,
            { lease: lease as string, fileId, remote: remote as string, local: local as string | undefined },
            signal,
          ),
        ),
      ),
    );
}

/** A move under an id of its own; Ctrl-C gives it up. */
async function moving(
  cli: Cli,
  leaseId: string,
  work: (client: SlipwayClient, fileId: string, signal: AbortSignal) => Promise<void>,
): Promise<number> {
  const client = await cli.client();
  const interrupts = listenToInterrupts(cli.io);
  const fileId = `f-${randomBytes(6).toString('hex')}`;
  try {
    await unlessAborted(interrupts.signal, work(client, fileId, interrupts.signal));
    return exit.ok;
  } catch (error) {
    if (error instanceof Interrupted) {
      // It may not have begun: then there is nothing to give up.
      await client.files.cancel(leaseId, fileId).catch(() => undefined);
      cli.say('\nGiven up. What was there is as it was.');
      if (cli.json) cli.print(JSON.stringify({ error: errorView(error) }, null, 2));
      return exitOf(error);
    }
    throw error;
  } finally {
    interrupts.end();
  }
}

interface Put {
  readonly lease: string;
  readonly fileId: string;
  readonly local: string;
  readonly remote: string;
}

async function put(
  cli: Cli,
  client: SlipwayClient,
  { lease, fileId, local, remote }: Put,
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  const from = resolve(cli.io.cwd, local);
  const path = remote.endsWith('/') ? `${remote}${basename(from)}` : remote;
  const tree = await isFolder(from, local);
  const as = Object.fromEntries(
    ['mode', 'owner', 'group', 'parents'].flatMap((name) =>
      options[name] === undefined ? [] : [[name, options[name]]],
    ),
  );
  const send = async (source: string): Promise<void> => {
    const { sha256: blob } = await client.upload(source, signal);
    const result = await client.files.put(lease, fileId, { ...as, blob, path, ...(tree ? { tree } : {}) }, signal);
    cli.show(result, () => result.path);
    cli.say(`  ${local} put on ${lease} · ${spokenBytes(result.bytes)}${tree ? ' as an archive' : ''}`);
  };
  await (tree ? packed(from, send) : send(from));
}

interface Get {
  readonly lease: string;
  readonly fileId: string;
  readonly remote: string;
  readonly local: string | undefined;
}

async function get(
  cli: Cli,
  client: SlipwayClient,
  { lease, fileId, remote, local }: Get,
  signal: AbortSignal,
): Promise<void> {
  const result = await client.files.get(lease, fileId, remote, signal);
  const bytes = client.files.download(result.sha256, result.bytes, signal);
  if (local === '-') {
    if (cli.json) throw new DomainError('InvalidRequest', '--json and - both want standard output.');
    for await (const chunk of bytes) await writeOut(cli.io.stdout, chunk);
  } else {
    const target = await targetOf(result, cli.io.cwd, local);
    await placeFile(result, bytes, target);
    cli.show({ ...result, local: target }, () => target);
  }
  cli.say(`  ${harmless(remote)} of ${lease} · ${spokenBytes(result.bytes)}${result.tree ? ' as an archive' : ''}`);
  if (result.changed) cli.say(cli.paint('yellow', '  Some of it changed while it was read.'));
}
