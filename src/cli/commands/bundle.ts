import type { Command } from 'commander';
import type { BundleDetail, BundleReport, BundleView } from '../../contract/bundle-views.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit } from '../exit.ts';
import { bundleStory } from '../output/bundle.ts';
import { inForceText, mistakeLine, sayMistakes } from '../output/mistake.ts';
import { nothing, table } from '../output/table.ts';

interface Bundles {
  list(): Promise<readonly BundleView[]>;
  show(name: string): Promise<BundleDetail>;
  check(): Promise<BundleReport>;
}

/** Bundles are files: without a stack they are read here. */
async function bundlesOf(cli: Cli): Promise<Bundles> {
  if (cli.remote) return (await cli.client()).bundles;
  const { findStack } = await cli.stack();
  if ((await findStack(cli.state)) !== undefined) return (await cli.client()).bundles;
  const [{ createBundles }, { packageBundlesFolder }, { createKeptBundles }, { readSettings }] = await Promise.all([
    import('../../config/bundles.ts'),
    import('../../config/bundle-folders.ts'),
    import('../../config/bundle-kept.ts'),
    import('../../config/settings.ts'),
  ]);
  const settings = await readSettings(cli.state);
  return createBundles({
    folders: [cli.state.bundles, packageBundlesFolder()],
    providers: Object.keys(settings.providers),
    outputLimitBytes: settings.output.limitBytes,
    kept: createKeptBundles(cli.state.goodBundles),
  });
}

export function addBundle(program: Command, action: Action): void {
  const bundle = program
    .command('bundle')
    .summary('Recipes of machines')
    .description('Recipes of machines, as files in bundles/.');
  bundle
    .command('list')
    .summary('List the bundles that can be leased')
    .action(
      action({}, async (cli) => {
        const bundles = await (await bundlesOf(cli)).list();
        cli.show(bundles, () =>
          table(
            ['BUNDLE', 'PROVIDERS', 'STATE', 'SUMMARY'],
            bundles.map((each) => [each.name, each.providers.join(', ') || nothing, stateOf(each), each.summary ?? '']),
          ),
        );
        if (bundles.some(({ mistakes }) => mistakes.length > 0)) cli.say('  slipway bundle check');
      }),
    );
  bundle
    .command('show')
    .summary('Show a bundle with its parameters, steps and limits')
    .argument('<bundle>')
    .action(
      action({}, async (cli, [name]) => {
        const detail = await (await bundlesOf(cli)).show(name as string);
        cli.show(detail, () => bundleStory(detail));
        sayMistakes(cli, detail);
        if (detail.inForce && detail.part !== true) cli.say(`  slipway lease create --bundle ${detail.name}`);
        return detail.inForce ? exit.ok : exit.usage;
      }),
    );
  bundle
    .command('check')
    .summary('Name every mistake of every bundle')
    .action(
      action({}, async (cli) => {
        const bundles = await bundlesOf(cli);
        const { mistakes, files, filesWithMistakes } = await bundles.check();
        cli.show({ mistakes, files, filesWithMistakes }, () =>
          mistakes.length === 0
            ? `${files} ${files === 1 ? 'bundle is' : 'bundles are'} good.`
            : mistakes.map((each) => mistakeLine(cli.io.cwd, each)).join('\n'),
        );
        if (mistakes.length === 0) return exit.ok;
        const count = `${mistakes.length} ${mistakes.length === 1 ? 'mistake' : 'mistakes'}`;
        cli.say(`${count} in ${filesWithMistakes} of ${files} files.${leftInForce(await bundles.list())}`);
        return exit.usage;
      }),
    );
}

/** What the mistakes mean for who leases now. */
function leftInForce(bundles: readonly BundleView[]): string {
  const broken = bundles.filter(({ mistakes }) => mistakes.length > 0);
  const named = (inForce: boolean) => broken.filter((each) => each.inForce === inForce).map(({ name }) => name);
  const [kept, lost] = [named(true), named(false)];
  return [
    kept.length === 0 ? '' : ` The last good version stays in force: ${kept.join(', ')}.`,
    lost.length === 0 ? '' : ` Not to be leased until mended: ${lost.join(', ')}.`,
  ].join('');
}

function stateOf(bundle: BundleView): string {
  if (bundle.mistakes.length > 0) return bundle.inForce ? `mistakes; ${inForceText(bundle)}` : 'mistakes';
  return bundle.part === true ? 'part' : 'good';
}
