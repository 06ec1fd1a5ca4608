// `slipway dev` without the CLI: argv = state folder, worker, api. Says each line of progress, and the addresses as JSON.
import { stateFolder } from '../../../dist/config/state-folder.js';
import { runForeground } from '../../../dist/dev/stack.js';

const [root, worker, api, temporal] = process.argv.slice(2);
const say = (text) => process.stdout.write(`${text}\n`);
try {
  await runForeground(stateFolder(root), {
    entries: { worker, api },
    onProgress: ({ text }) => say(text),
    onReady: (stack) => say(`ready ${JSON.stringify(stack)}`),
    say,
    ...(temporal === undefined ? {} : { temporal: { profile: '' } }),
  });
  say('over');
} catch (error) {
  say(`${error.name}: ${error.message}\n${error.hint ?? error.stack}`);
  process.exitCode = 1;
}
