// The keys of a file that people write, from its schema: docs/reference/bundles.md and docs/reference/settings.md.
import { z } from 'zod';
import { settingsFile } from '../dist/config/settings.js';
import { bundleFile } from '../dist/contract/bundle.js';

/**
 * @typedef {[title: string, path: string[]]} Section a map inside the file: `*` is each entry of one with names of the
 * operator's own, `items` each of a list
 */

/** @type {Section[]} */
const bundleSections = [
  ['A bundle’s file', []],
  ['parameters', ['parameters', 'items']],
  ['variants', ['variants', 'items']],
  ['files', ['files', 'items']],
  ['commands', ['commands', 'items']],
  ['ready', ['ready']],
  ['lease', ['lease']],
];

/** @type {Section[]} */
const settingsSections = [
  ['slipway.yaml', []],
  ['secrets.NAME', ['secrets', '*']],
  ['tokens.OWNER', ['tokens', '*']],
  ['providers.NAME', ['providers', '*']],
  ['providers.NAME.quota', ['providers', '*', 'quota']],
  ['providers.NAME.rate', ['providers', '*', 'rate']],
  ['pools.NAME', ['pools', '*']],
  ['pools.NAME.schedule', ['pools', '*', 'schedule', 'items']],
  ['api', ['api']],
  ['output', ['output']],
  ['sweep', ['sweep']],
];

const step = (found, key) =>
  key === 'items' ? found.items : key === '*' ? found.additionalProperties : found.properties[key];
const at = (schema, path) => path.reduce(step, schema);

/** Of a union the keys of all its maps. */
const propertiesOf = (schema) =>
  Object.assign({}, schema.properties, ...(schema.anyOf ?? []).map((each) => each.properties ?? {}));

function typeOf(name, schema) {
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf(name, { type })).join(' or ');
  if (name.endsWith('Ms')) return 'duration';
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(' or ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.anyOf) return [...new Set(schema.anyOf.map((each) => typeOf(name, each)))].join(' or ');
  if (schema.type === 'array') {
    return { object: 'list of maps', string: 'list of text' }[schema.items.type] ?? 'list';
  }
  return { object: 'map', string: 'text', integer: 'whole number', number: 'number', boolean: 'true or false' }[
    schema.type
  ];
}

/** @param table how the other references write one */
function keysReference(file, sections, head, table) {
  const schema = z.toJSONSchema(file, { io: 'input', unrepresentable: 'any' });
  const parts = sections.map(([title, path]) => {
    const part = at(schema, path);
    const rows = Object.entries(propertiesOf(part)).map(([name, property]) => [
      `\`${name}\``,
      typeOf(name, property),
      part.required?.includes(name) ? 'yes' : '',
      property.description ?? '',
    ]);
    const about = part.description ?? '';
    return `## ${title}\n\n${about ? `${about[0].toUpperCase()}${about.slice(1)}.\n\n` : ''}${table(['key', 'type', 'required', ''], rows)}`;
  });
  return [head, ...parts].join('');
}

const durations = 'A duration is `90s`, `5m`, `1h30m`, `2d`, or whole milliseconds.';

export const bundleReference = (generated, table) =>
  keysReference(
    bundleFile,
    bundleSections,
    `# Keys of a bundle\n\n${generated}[Bundles by example](../bundles.md) says how they go together. ${durations} The same as JSON Schema, for editors: [schemas/bundle-file.json](../../schemas/bundle-file.json).\n\n`,
    table,
  );

export const settingsReference = (generated, table) =>
  keysReference(
    settingsFile,
    settingsSections,
    `# Keys of slipway.yaml\n\n${generated}The operator's file, beside the state folder (\`.slipway/\`). All of it may be missing. ${durations} Relative paths start from the file's folder. A change is followed within seconds, but for \`api\` and the list of providers, which are read at a start. A mistake is told with file, line and column: at a start nothing runs until it is mended; later the last good version stays in force, also for a process that comes back, and \`slipway pool\`, \`quota\` and \`provider check\` say so.\n\n`,
    table,
  );
