/** What a failed system call says about a path. */
import { SystemCallError } from '../../platform/errors.ts';

/** @param codes names of errno */
export function failedWith(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof SystemCallError && codes.includes(error.code);
}

/** ENOENT alone means "does not exist" (spec files.md §2). */
export function isMissing(error: unknown): boolean {
  return failedWith(error, 'ENOENT');
}

export async function undefinedIfMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}
