/**
 * Where a session's worktree is meant to be. The way to it is checked for links before anything is done, and somebody may put
 * a link on the way afterwards; then the folder that a path leads to is another one. So a folder is opened first, and worked
 * in only when it is in its place.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { SystemCallError } from '../../../platform/errors.ts';
import type { FileOperations, FolderHandle } from '../../../platform/files.ts';
import type { Paths } from '../../../platform/paths.ts';

interface Request {
  /** As sent, after tilde. */
  readonly baseRepo: string;
  readonly worktreePath: string;
  /** `''`: the worktree lies in the repository. */
  readonly worktreeRoot: string;
}

/**
 * The place of a worktree that is reached without links from its repository or from the root of worktrees.
 * @returns `undefined` when there is neither
 */
export async function placeOfWorktree(request: Request, paths: Paths): Promise<string | undefined> {
  const { baseRepo, worktreePath, worktreeRoot } = request;
  const base = resolve(worktreeRoot === '' ? baseRepo : worktreeRoot);
  const real = await realpath(base).catch(() => undefined);
  return real === undefined ? undefined : join(real, relative(base, paths.clean(worktreePath)));
}

/** `message` is wire text. */
export class NotInPlace extends SystemCallError {
  constructor(place: string, now: string) {
    super(`${place} is another folder by now, ${now}`, 'ESTALE');
  }
}

/** @param place `undefined`: any will do. @throws NotInPlace */
export async function assertPlace(folder: FolderHandle, place: string | undefined): Promise<void> {
  const now = place === undefined ? undefined : await folder.place();
  if (place !== undefined && now !== undefined && now !== place) {
    throw new NotInPlace(place, now);
  }
}

/**
 * Opens a worktree's folder for the time of `work`.
 * @throws SystemCallError, Node's error; NotInPlace
 */
export async function inPlace<T>(
  files: Pick<FileOperations, 'openFolder'>,
  path: string,
  place: string | undefined,
  work: (folder: FolderHandle) => Promise<T>,
): Promise<T> {
  // Where no place is asked for, a link at the end of the path is what the client means.
  const folder = await files.openFolder(place === undefined ? await realpath(path) : path);
  try {
    await assertPlace(folder, place);
    return await work(folder);
  } finally {
    await folder.close();
  }
}

/**
 * Removes a worktree's folder when it is empty.
 * @throws SystemCallError; `ENOENT` when it is gone
 */
export async function removeEmptyWorktree(
  files: Pick<FileOperations, 'openFolder'>,
  path: string,
  place: string | undefined,
): Promise<void> {
  const above = await realpath(dirname(resolve(path)));
  await inPlace(files, above, place === undefined ? undefined : dirname(place), (folder) =>
    folder.removeFolder(Buffer.from(basename(path))),
  );
}
