import type { Command } from 'commander';
import { isLeaseEnd } from '../../contract/wait.ts';
import { DomainError } from '../../domain/failure.ts';
import type { Action } from '../action.ts';
import type { Cli } from '../context.ts';
import { exit } from '../exit.ts';
import { isSshFailure, sshLine, sshSession } from '../ssh-session.ts';

export function addLeaseSsh(lease: Command, action: Action): void {
  lease
    .command('ssh')
    .summary('Log in to the machine of a lease')
    .description(
      'Opens a shell on the machine of a lease, or runs a command there, with a key that is let in for this session only and the host key pinned. What runs so is not a task: nothing of its output is kept.',
    )
    .usage('[options] <lease> [-- command words…]')
    .argument('<lease>')
    .argument('[command...]', 'the command and its words, after --; without, a shell')
    .option('--print', 'print an ssh command line with the pinned host key, for a key of your own (lease create --key)')
    .action(
      action({ ours: exit.ours }, (cli, [leaseId, words], { print }) =>
        ssh(cli, leaseId as string, words as readonly string[], print === true),
      ),
    );
}

async function ssh(cli: Cli, leaseId: string, words: readonly string[], print: boolean): Promise<number> {
  const client = await cli.client();
  const { access, state } = await client.leases.show(leaseId);
  if (!access || state === 'releasing' || isLeaseEnd(state)) {
    throw new DomainError(
      state === 'acquiring' ? 'InvalidRequest' : 'Gone',
      `Lease ${leaseId} is ${state}: there is no machine to log in to.`,
      {
        hint: state === 'acquiring' ? `slipway lease wait ${leaseId}` : 'a new lease.',
      },
    );
  }
  if (print) {
    cli.show({ leaseId, access, command: sshLine(access) }, () => sshLine(access));
    return exit.ok;
  }
  let keyId: string | undefined;
  try {
    const code = await sshSession(cli.io, access, words, async (publicKey) => {
      ({ keyId } = await client.keys.letIn(leaseId, publicKey));
    });
    if (!isSshFailure(code)) return code;
    cli.say(`  ssh ended with 255: it failed itself, or its command did so. · slipway lease show ${leaseId}`);
    return exit.ours;
  } finally {
    // A stack that does not answer takes it out by itself, in a minute.
    if (keyId !== undefined) await client.keys.takeOut(leaseId, keyId).catch(() => undefined);
  }
}
