import { SystemCallError } from '../../platform/errors.ts';
import type { Paths } from '../../platform/paths.ts';

/**
 * Runs a call of Node's; its failure gets the contract's form `<operation> <path>: <reason>` (spec install.md §10).
 * @throws SystemCallError
 */
export async function named<T>(paths: Paths, operation: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new SystemCallError(`${operation} ${path}: ${paths.reason(error)}`, code, { cause: error });
  }
}

/** Whether the failure, one of {@link named} or of Node's own, is that there is no such file or folder. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** One file under whatever name. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}
