import type { Command } from 'commander';
import type { Part } from '../../serve/serve.ts';
import type { Action } from '../action.ts';

const about: Readonly<Record<Part, readonly [summary: string, description: string]>> = {
  api: [
    'The HTTP API',
    'Answers HTTP until SIGTERM, on loopback unless --listen says otherwise. Names beside loopback that callers use stand under api.hosts in slipway.yaml.',
  ],
  worker: [
    'A worker',
    'Does the work of leases until SIGTERM; then it detaches, and any other worker of the folder goes on. Start as many as you like.',
  ],
  local: [
    'The process of the provider local',
    'Holds the machines of the provider local, as a service: workers and API use it and never start one of their own. They must be in one network namespace with it. One for each state folder.',
  ],
};

/** A deployment: `slipway setup` once, then each process by itself, under whatever keeps processes up. */
export function addServe(program: Command, action: Action): void {
  const serve = program
    .command('serve')
    .summary('Run one process of a deployment, in the foreground')
    .description(
      'One process of a deployment, in the foreground, with JSON lines on standard output: on the Temporal server of TEMPORAL_ADDRESS (or a profile), with the state folder that all of them share.',
    );
  for (const [part, [summary, description]] of Object.entries(about) as [Part, (typeof about)[Part]][]) {
    const command = serve.command(part).summary(summary).description(description);
    if (part === 'api') command.option('--listen <host:port>', 'where to listen (SLIPWAY_LISTEN; 127.0.0.1:4800)');
    command
      .option(
        '--ready-file <path>',
        'a file that is there, and never older than 15 s, while it serves (SLIPWAY_READY_FILE)',
      )
      .action(
        action({}, async (cli, _args, { listen, readyFile }) => {
          const module = await cli.serve();
          await module.serve(part, {
            state: cli.state,
            variables: cli.io.env,
            ...(listen === undefined ? {} : { listen: listen as string }),
            ...(readyFile === undefined ? {} : { readyFile: readyFile as string }),
          });
        }),
      );
  }
  program
    .command('setup')
    .summary('Prepare a deployment: state folder, namespace, search attributes')
    .description(
      'Makes the state folder with its token and key, and in the Temporal server of TEMPORAL_ADDRESS (or a profile) the namespace, its retention of 30 days and the search attributes. Repeated, it changes nothing.',
    )
    .action(
      action({}, async (cli) => {
        const { setUp } = await cli.serve();
        const done = await setUp(cli.state);
        cli.show(done, () =>
          [
            `state      ${done.state}`,
            `token      ${cli.state.token}`,
            `Temporal   ${done.temporal.address} · namespace ${done.temporal.namespace}`,
            `installation ${done.installation}`,
          ].join('\n'),
        );
        for (const note of done.notes) cli.say(cli.paint('yellow', note));
        cli.say('  slipway serve api · slipway serve worker');
      }),
    );
}
