import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { DefaultLogger } from '@temporalio/worker';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Activities } from '../../src/activities/activities.ts';
import { longTaskQueue } from '../../src/contract/messages.ts';
import type { ActivityName } from '../support/fake-world.ts';
import { dataConverter } from '../support/workflow-bench.ts';
import type { StartWorkers } from './bench.ts';

/** Injected faults are no news. */
const quiet = new DefaultLogger('ERROR');

type Info = ConstructorParameters<typeof MockActivityEnvironment>[0];
type Message =
  | { readonly ready: true }
  | { readonly call: number; readonly name: ActivityName; readonly input: unknown; readonly info: Info }
  | { readonly call: number; readonly cancelled: true };

/** Workers in a process of their own: the world outlives their death, as a cloud does. */
export function createKillableWorkers(): { readonly start: StartWorkers; readonly kill: () => Promise<void> } {
  let launch: () => Promise<ChildProcess>;
  let child: ChildProcess;
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  return {
    async start({ address, activities }, { codePath }) {
      const taskQueue = `test-${randomUUID()}`;
      const names = Object.keys(activities);
      const given = JSON.stringify({ address, taskQueue, longTaskQueue, codePath, ...dataConverter, names });
      launch = () => launched(given, activities);
      child = await launch();
      return { taskQueue, stop: end };
    },
    async kill() {
      await end();
      child = await launch();
    },
  };
}

async function launched(given: string, activities: Activities): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('killable-worker.mjs', import.meta.url)), [given]);
  const calls = new Map<number, MockActivityEnvironment>();
  // Nobody waits for what a dead worker asked.
  child.once('exit', () => {
    for (const call of calls.values()) call.cancel();
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The worker ended with ${code}`)));
    child.on('message', (message: Message) => {
      if ('ready' in message) resolve();
      else if ('cancelled' in message) calls.get(message.call)?.cancel();
      else void answer(message);
    });
  });
  const answer = async ({ call, name, input, info }: Extract<Message, { name: ActivityName }>): Promise<void> => {
    const environment = new MockActivityEnvironment(info, { logger: quiet });
    calls.set(call, environment);
    const plain = activities[name] as (input: unknown) => Promise<unknown>;
    const said = await environment.run(plain, input).then(
      (result) => ({ result }),
      (error: unknown) => ({ failure: failureOf(error) }),
    );
    calls.delete(call);
    if (child.connected) child.send({ call, ...said });
  };
  await ready;
  return child;
}

function failureOf(error: unknown): object {
  if (error instanceof CancelledFailure) return { message: error.message, cancelled: true };
  if (!(error instanceof ApplicationFailure)) return { message: String(error), type: 'Error' };
  const { message, type, nonRetryable } = error;
  return { message, type, nonRetryable };
}
