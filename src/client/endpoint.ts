import { readFile } from 'node:fs/promises';
import { DomainError } from '../domain/failure.ts';

/** Where the API answers, and the token that it wants. */
export interface Endpoint {
  readonly url: string;
  readonly token: string;
}

/**
 * @param again what was answered before did not answer: look anew, since a stack that was started again may have other ports
 */
export type FindEndpoint = (again: boolean) => Promise<Endpoint>;

/** @throws DomainError Unauthorized when the token cannot be read */
export async function readToken(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new DomainError('Unauthorized', `The token file ${path} cannot be read.`, {
      hint: 'run as the user who started the stack, or give SLIPWAY_TOKEN_FILE.',
      cause,
    });
  }
}

/** An API whose address does not change: `SLIPWAY_URL` with `SLIPWAY_TOKEN_FILE`. */
export const fixedEndpoint =
  (url: string, tokenFile: string): FindEndpoint =>
  async () => ({ url: url.replace(/\/+$/, ''), token: await readToken(tokenFile) });
