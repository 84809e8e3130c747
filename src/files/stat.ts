/** What `files.stat` and `files.validate` ask the system (spec files.md §3, §6). */
import type { FileStatus } from '../../platform/files.ts';
import type { FilesServices } from './services.ts';
import { undefinedIfMissing } from './system-failures.ts';

/** Follows links. @returns `undefined` when the path does not exist. @throws SystemCallError */
export function statFile(path: string, { platform }: FilesServices): Promise<FileStatus | undefined> {
  return undefinedIfMissing(platform.files.status(platform.paths.expandTilde(path)));
}
