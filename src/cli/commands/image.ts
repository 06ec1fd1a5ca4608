import type { Command } from 'commander';
import { DomainError } from '../../domain/failure.ts';
import type { Action } from '../action.ts';
import { nothing, table } from '../output/table.ts';
import { roundMs, spokenBytes } from '../output/units.ts';

/** What machines are made from, at providers that keep it. */
export function addImage(program: Command, action: Action): void {
  const image = program
    .command('image')
    .summary('What machines are made from')
    .description('What machines are made from, at providers that keep it.');
  image
    .command('list')
    .summary('List images')
    .option('--provider <name>', 'only those of this one')
    .action(
      action({}, async (cli, _args, { provider }) => {
        const images = await (await cli.client()).images.list(provider as string | undefined);
        cli.show(images, () =>
          table(
            ['PROVIDER', 'IMAGE', 'SIZE', 'FROM', 'WARM', 'AGE'],
            images.map((each) => [
              each.provider,
              each.name,
              each.sizeBytes === 0 ? 'not here yet' : spokenBytes(each.sizeBytes),
              each.source === 'captured' ? 'a machine' : 'slipway.yaml',
              each.warm === true ? 'yes' : nothing,
              each.createdAt === undefined ? nothing : roundMs(Date.now() - Date.parse(each.createdAt)),
            ]),
          ),
        );
        if (images.length === 0) cli.say('No images. · slipway provider list names what each provider can do');
      }),
    );
  image
    .command('capture')
    .summary('Take an image of a machine')
    .description(
      'Takes an image of the whole disk of a machine that runs, or is off, while the machine stays as it is. Of one that runs it is what a power cut would leave: what its guest has not written yet is missing (sync). Then variants name it as image. The same machine and name again is the same image; Ctrl-C stops waiting.',
    )
    .argument('<machine>')
    .argument('<name>', 'of the new image')
    .action(
      action({}, async (cli, [machineId, name]) => {
        const { images } = await cli.client();
        const view = await images.capture(machineId as string, name as string);
        cli.show(
          view,
          () => `${view.name} · ${spokenBytes(view.sizeBytes)} · of ${String(machineId)} on ${view.provider}`,
        );
        cli.say(`  in a bundle: {provider: ${view.provider}, image: ${view.name}}`);
      }),
    );
  image
    .command('remove')
    .summary('Remove an image that was taken of a machine')
    .argument('<provider>')
    .argument('<name>')
    .option('--yes', 'do it')
    .action(
      action({}, async (cli, [provider, name], { yes }) => {
        const { images } = await cli.client();
        if (yes !== true) {
          throw new DomainError(
            'InvalidRequest',
            `Nothing was done. No machine can be made from ${String(name)} any more.`,
            {
              hint: 'the same with --yes.',
            },
          );
        }
        const view = await images.remove(provider as string, name as string);
        cli.show(view, () => `${view.name} is removed · ${spokenBytes(view.sizeBytes)}`);
      }),
    );
}
