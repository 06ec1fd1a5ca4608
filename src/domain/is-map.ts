/** Whether a value, as JSON or YAML gives it, is a mapping: no list, no text, nothing. */
export const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
