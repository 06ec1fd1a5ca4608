import { Option } from 'commander';
import type { Command } from 'commander';
import {
  assignment,
  collectFlag,
  count,
  defaultKeep,
  duration,
  each,
  fileFlag,
  keyValue,
  secretName,
  wholeNumber,
} from './parse.ts';

/** Of whatever runs a command on a machine. */
export const commandOptions = (command: Command): Command =>
  command
    .option('-e, --env <NAME=value>', 'set a variable (NAME alone passes yours on); may be repeated', each(assignment))
    .option(
      '--secret-env <NAME>',
      'pass your variable on sealed: never in an argument, a log or a history',
      each(secretName),
    )
    .option('-w, --cwd <folder>', 'the working directory on the machine')
    .option('-u, --user <name>', 'the user on the machine to run as')
    .option('-i, --stdin', 'give the job your standard input (read to its end first)')
    .option('--timeout <duration>', "the job's time limit: TERM, a grace, KILL (exit 124)", duration)
    .option('--grace <duration>', 'from TERM to KILL', duration)
    .option('--shell <text>', 'a text for sh in place of a command');

/** Of whatever shows a job's output. */
export const outputOptions = (command: Command): Command =>
  command.option('--raw', 'show escape sequences too: on a terminal they are taken out of the output');

/** Of what waits for a job's end. */
export const collectOption = (command: Command): Command =>
  command.option(
    '--collect <remote[:local]>',
    'get a file or folder of the machine when the job has ended, however it did; may be repeated',
    each(collectFlag),
  );

/** Of whatever leases a machine. */
export const leaseOptions = (command: Command): Command =>
  command
    .requiredOption('-b, --bundle <name>', 'the bundle to lease (slipway bundle list)')
    .option('--provider <name>', 'only the bundle’s variants of this provider')
    .option('-p, --param <name=value>', 'a parameter of the bundle; may be repeated', each(keyValue))
    .option(
      '-f, --file <local:/remote[:mode[:owner[:group]]]>',
      'install a file, a folder or https://…#sha256=… before ready; may be repeated',
      each(fileFlag),
    )
    .option('--ttl <duration>', 'how long the lease lasts from ready', duration)
    .option('--acquire <duration>', 'give up when there is no ready machine by then', duration)
    .option('--attempts <n>', 'how many machines may be tried', count)
    .option('--priority <n>', 'where leases wait: higher comes first, -100 to 100 (else 0)', wholeNumber)
    .option('--notify <url>', 'call this URL when the lease is ready and when it has ended')
    .option('--notify-secret <name>', 'the operator’s secret that the calls are signed with')
    .option('--meta <key=value>', 'kept with the lease and shown back; may be repeated', each(keyValue))
    .addOption(
      new Option('--keep [duration]', 'keep the machine for a look when it, or the job, fails')
        .preset(defaultKeep)
        .argParser(duration),
    );
