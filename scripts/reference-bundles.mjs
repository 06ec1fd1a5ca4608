// docs/reference/bundles.md: every key of a bundle's file, from its schema.
import { z } from 'zod';
import { bundleFile } from '../dist/contract/bundle.js';

/**
 * The maps inside, by the title of their section and where they stand.
 * @type {[string, string[]][]}
 */
const sections = [
  ['A bundle’s file', []],
  ['parameters', ['parameters', 'items']],
  ['variants', ['variants', 'items']],
  ['files', ['files', 'items']],
  ['commands', ['commands', 'items']],
  ['ready', ['ready']],
  ['lease', ['lease']],
];

const at = (schema, path) =>
  path.reduce((found, key) => (key === 'items' ? found.items : found.properties[key]), schema);

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
export function bundleReference(generated, table) {
  const schema = z.toJSONSchema(bundleFile, { io: 'input', unrepresentable: 'any' });
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
  return [
    `# Keys of a bundle\n\n${generated}[Bundles by example](../bundles.md) says how they go together. A duration is \`90s\`, \`5m\`, \`1h30m\`, \`2d\`, or whole milliseconds. The same as JSON Schema, for editors: [schemas/bundle-file.json](../../schemas/bundle-file.json).\n\n`,
    ...parts,
  ].join('');
}
