/** What `files.stat` and `files.validate` ask the system (spec files.md §3, §6). */
import { SystemCallError } from '../../platform/errors.ts';
import type { FileStatus } from '../../platform/files.ts';
import type { FilesServices } from './services.ts';

/** Follows links. @returns `undefined` when the path does not exist. @throws SystemCallError */
export function statFile(path: string, { platform }: FilesServices): Promise<FileStatus | undefined> {
  return undefinedIfMissing(platform.files.status(platform.paths.expandTilde(path)));
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

/** ENOENT alone means "does not exist" (spec files.md §2). */
export function isMissing(error: unknown): boolean {
  return error instanceof SystemCallError && error.code === 'ENOENT';
}
