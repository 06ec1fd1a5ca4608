// The keys of a file that people write, from its schema: docs/reference/bundles.md, settings.md and inventory.md.
import { z } from 'zod';
import { settingsFile } from '../dist/config/settings.js';
import { bundleFile } from '../dist/contract/bundle.js';
import { inventoryFile } from '../dist/contract/inventory.js';

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
  ['notify', ['notify']],
];

/** @type {Section[]} */
const inventorySections = [
  ['An inventory', []],
  ['machines.NAME', ['machines', '*']],
];

const step = (found, key) =>
  key === 'items' ? found.items : key === '*' ? found.additionalProperties : propertiesOf(found)[key];
const at = (schema, path) => path.reduce(step, schema);

const branchesOf = (schema) => [schema, ...(schema.anyOf ?? schema.oneOf ?? [])];

/** Of a union the keys of all its maps. */
function propertiesOf(schema) {
  const all = branchesOf(schema).flatMap((each) => Object.entries(each.properties ?? {}));
  const names = [...new Set(all.map(([name]) => name))];
  return Object.fromEntries(
    names.map((name) => {
      const [first, ...more] = all.flatMap(([each, property]) => (each === name ? [property] : []));
      const same = more.every((other) => JSON.stringify(other) === JSON.stringify(first));
      return [name, same ? first : { anyOf: [first, ...more], description: first.description }];
    }),
  );
}

/** Of a union what each of its maps requires. */
const requires = (schema, name) => {
  const maps = branchesOf(schema).filter(({ properties }) => properties);
  return maps.length > 0 && maps.every(({ required = [] }) => required.includes(name));
};

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
      requires(part, name) ? 'yes' : '',
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

export const inventoryReference = (generated, table) =>
  keysReference(
    inventoryFile,
    inventorySections,
    `# Keys of an inventory\n\n${generated}The file that a provider of type \`static\` takes its machines from; [standing machines](../static.md) says how it is used. Relative paths start from the file's folder. The same as JSON Schema, for editors: [schemas/inventory-file.json](../../schemas/inventory-file.json).\n\n`,
    table,
  );
