/** For `.catch` of a look at a file or folder: that it is not there is an answer. @throws whatever else it was */
export function noneIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}
