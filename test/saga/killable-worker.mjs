// Our workflows in a process that can be killed hard; what its activities do is done in the process that started it.
import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, NativeConnection, Runtime, Worker } from '@temporalio/worker';

const { address, taskQueue, longTaskQueue, codePath, payloadConverterPath, names } = JSON.parse(process.argv[2]);
const beatMs = 500;

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
});
process.once('disconnect', () => process.exit(0));

let calls = 0;
const waiting = new Map();
process.on('message', ({ call, result, failure }) => {
  const { resolve, reject } = waiting.get(call);
  waiting.delete(call);
  if (failure === undefined) resolve(result);
  else reject(failure.cancelled ? new CancelledFailure(failure.message) : ApplicationFailure.create(failure));
});

const forward = (name) => async (input) => {
  const context = Context.current();
  const { workflowExecution, activityId, attempt, taskQueue: queue } = context.info;
  const call = (calls += 1);
  const cancel = () => process.send({ call, cancelled: true });
  context.cancellationSignal.addEventListener('abort', cancel, { once: true });
  const beat = setInterval(() => context.heartbeat(), beatMs);
  try {
    const answer = new Promise((resolve, reject) => waiting.set(call, { resolve, reject }));
    process.send({ call, name, input, info: { workflowExecution, activityId, attempt, taskQueue: queue } });
    return await answer;
  } finally {
    clearInterval(beat);
    context.cancellationSignal.removeEventListener('abort', cancel);
  }
};

const common = {
  connection: await NativeConnection.connect({ address }),
  activities: Object.fromEntries(names.map((name) => [name, forward(name)])),
  dataConverter: { payloadConverterPath },
  maxHeartbeatThrottleInterval: beatMs,
  defaultHeartbeatThrottleInterval: beatMs,
  stickyQueueScheduleToStartTimeout: '1s',
};
const workers = [
  await Worker.create({ ...common, taskQueue, workflowBundle: { codePath } }),
  await Worker.create({ ...common, taskQueue: longTaskQueue, maxConcurrentActivityTaskExecutions: 500 }),
];
const running = Promise.all(workers.map((worker) => worker.run()));
process.send({ ready: true });
await running;
