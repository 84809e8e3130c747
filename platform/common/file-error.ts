/** Failures of the file system in the contract's form (spec files.md §2). */
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';

/** `<operation> <path>: <reason>`, with the errno name for decisions. */
export function fileError(paths: Paths, operation: string, path: string, error: unknown): SystemCallError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  // Node refuses a NUL byte itself, with a code of its own.
  const errno = code === 'ERR_INVALID_ARG_VALUE' ? 'EINVAL' : code;
  return new SystemCallError(`${operation} ${path}: ${paths.reason(error)}`, errno, { cause: error });
}

/** Runs one step; its failure gets the contract's words. */
export async function as<T>(paths: Paths, operation: string, path: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(paths, operation, path, error);
  }
}
