/** Making and opening the folder of the socket (spec modes.md §5 to 7). */
import { resolve } from 'node:path';
import { orHostError } from '../common/host-error.ts';
import type { Paths } from '../paths.ts';
import type { RunDirectories } from '../run-directories.ts';
import { createFolders } from './create-folders.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { openLog } from './log-file.ts';
import { openNameless } from './nameless-file.ts';
import { PosixRunDirectory } from './run-directory.ts';

export function createRunDirectories(paths: Paths): RunDirectories {
  return {
    haveOneDaemon: true,
    create: (path) => orHostError(`mkdir ${path}`, paths, () => createFolders(resolve(path))),
    open: (path) => orHostError(`open ${path}`, paths, () => new PosixRunDirectory(DirectoryHandle.openTrusted(path))),
    openNameless,
    openLog: (path, rotate) => openLog(path, rotate, paths),
  };
}
