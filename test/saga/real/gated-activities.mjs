// Stands in the place of a build's `activities/index.js`: each activity may be held before or after its effect, until its worker dies.
import { Context } from '@temporalio/activity';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createActivities as createReal } from './index-real.js';

const folder = 'GATES';
const beatMs = 500;

/** A file `<activity>.<side>` holds a text that the call's input must have; whoever finds it first is the one that waits. */
function isHeld(name, side, input) {
  const path = `${folder}/${name}.${side}`;
  try {
    if (!JSON.stringify(input).includes(readFileSync(path, 'utf8'))) return false;
    renameSync(path, `${path}.taken`);
    writeFileSync(`${path}.held`, String(process.pid));
    return true;
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

async function waitForDeath() {
  const context = Context.current();
  setInterval(() => context.heartbeat(), beatMs);
  await new Promise(() => undefined);
}

async function gated(name, activity, input) {
  if (isHeld(name, 'before', input)) await waitForDeath();
  // What fails has had its effect too: a wait that asks again later, for one.
  const outcome = await activity(input).then(
    (result) => () => result,
    (error) => () => {
      throw error;
    },
  );
  if (isHeld(name, 'after', input)) await waitForDeath();
  return outcome();
}

export const createActivities = (deps) =>
  Object.fromEntries(
    Object.entries(createReal(deps)).map(([name, activity]) => [name, (input) => gated(name, activity, input)]),
  );
