import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { parse, stringify } from 'yaml';
import { DomainError } from '../../domain/failure.ts';
import { isMap } from '../../domain/is-map.ts';
import type { Action } from '../action.ts';
import { sinksOf } from '../output/sinks.ts';

/** What a machine was given for its first boot, where its provider keeps that. */
export function addUserData(machine: Command, action: Action): void {
  machine
    .command('userdata')
    .summary('Show the user-data of a machine, or change it')
    .description(
      'Shows the cloud-init document that the machine was given, without its secrets, where its provider keeps it; with --from puts what you have made of that in its place. Hidden secrets stay with their user or file. The machine stays the same instance: at its next boot cloud-init does again only what it does at every boot, and a reload composes the document anew.',
    )
    .argument('<machine>')
    .option('--from <file>', 'the whole document, as it is shown here and changed')
    .action(
      action({}, async (cli, [machineId], { from }) => {
        const { machines } = await cli.client();
        const id = machineId as string;
        const config =
          from === undefined
            ? await machines.userData(id)
            : await machines.changeUserData(id, await documentIn(from as string));
        if (cli.json) return cli.print(JSON.stringify(config, null, 2));
        // What cloud-init reads is YAML 1.1, where `no` and `0644` are no text.
        const text = `#cloud-config\n${stringify(config, { version: '1.1', lineWidth: 0 })}`;
        await sinksOf(cli, { raw: false }).stdout(Buffer.from(text));
      }),
    );
}

async function documentIn(file: string): Promise<Readonly<Record<string, unknown>>> {
  const wrong = (what: string, cause?: unknown): DomainError =>
    new DomainError('InvalidRequest', `${file} ${what}.`, { cause });
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw wrong('cannot be read', cause);
  });
  let config: unknown;
  try {
    config = parse(text, { version: '1.1' });
  } catch (cause) {
    throw wrong(`is no YAML: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  if (isMap(config)) return config;
  throw wrong('holds no map');
}
