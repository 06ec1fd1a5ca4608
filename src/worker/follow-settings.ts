import type { Logger } from 'pino';
import { checkSettings, keepSettings, readSettings, type Settings } from '../config/settings.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { mistakeText } from '../config/yaml-mistakes.ts';

/** Looking costs one `stat` of the file. */
const lookEveryMs = 2_000;

/** Applies the settings now and whenever they have changed; what failed is tried again at the next look. */
export function followSettings(
  state: StateFolder,
  apply: (settings: Settings) => Promise<void>,
  logger: Logger,
): { readonly stop: () => void } {
  let applied: Settings | undefined;
  let told = '';
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    try {
      const settings = await readSettings(state);
      if (settings !== applied) {
        await apply(settings);
        await keepSettings(state);
      }
      applied = settings;
      const mistakes = (await checkSettings(state)).map(mistakeText).join('; ');
      if (mistakes !== '' && mistakes !== told) logger.warn(`${mistakes}. The last good settings stay in force.`);
      told = mistakes;
    } catch (error) {
      if (!stopped) logger.error({ error }, 'the settings could not be applied');
    }
    if (!stopped) timer = setTimeout(() => void look(), lookEveryMs);
  };
  void look();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
