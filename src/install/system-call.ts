/** File calls of Node that fail in the contract's form (spec install.md §10). */
import { SystemCallError } from '../../platform/errors.ts';
import type { Paths } from '../../platform/paths.ts';

/**
 * Runs one call. Its failure becomes `<operation> <path>: <reason>`.
 * @throws SystemCallError
 */
export async function systemCall<T>(paths: Paths, operation: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new SystemCallError(`${operation} ${path}: ${paths.reason(error)}`, code, { cause: error });
  }
}

/** Whether the failure, of {@link systemCall} or of Node's own call, is that there is no such file or folder. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
