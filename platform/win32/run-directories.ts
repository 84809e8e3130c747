/** Making and opening the folder of `rpc.pipe` (spec modes.md §5-7, platform.md §3). */
import { win32 } from 'node:path';
import { orHostError } from '../common/host-error.ts';
import type { Paths } from '../paths.ts';
import type { RunDirectories } from '../run-directories.ts';
import { createFolders } from './create-folders.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { openLog } from './log-file.ts';
import { openNameless } from './nameless-file.ts';
import { WindowsRunDirectory } from './run-directory.ts';

export function createRunDirectories(paths: Paths): RunDirectories {
  return {
    haveOneDaemon: false,
    create: (path) => orHostError(`mkdir ${path}`, paths, () => createFolders(win32.resolve(path))),
    open: (path) =>
      orHostError(`open ${path}`, paths, () => new WindowsRunDirectory(DirectoryHandle.openTrusted(path))),
    openNameless,
    openLog: (path, rotate) => openLog(path, rotate, paths),
  };
}
