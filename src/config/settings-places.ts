import { readFile } from 'node:fs/promises';
import { parseYaml } from './yaml-file.ts';
import { locate, mistakeText } from './yaml-mistakes.ts';
import type { Finding } from './yaml-wording.ts';

/** What is found wrong with settings only together with something else, each as a line with its place in the file. */
export async function placedInSettings(file: string, findings: readonly Finding[]): Promise<readonly string[]> {
  const yaml = parseYaml(file, await readFile(file, 'utf8'));
  return findings.map((finding) => mistakeText(locate(yaml, finding)));
}
