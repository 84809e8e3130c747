/** Steps inside folders of the repository that are held open, so no link in it leads them elsewhere. */
import type { SystemCallError } from '../../../platform/errors.ts';
import type { FileOperations, FolderHandle, WritableFile } from '../../../platform/files.ts';

/** @throws SystemCallError; `ENOTDIR` for a link */
export async function openOrCreate(folder: FolderHandle, name: string): Promise<FolderHandle> {
  const bytes = Buffer.from(name);
  try {
    return await folder.openFolder(bytes);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      throw error;
    }
  }
  await folder.createFolder(bytes, 0o777).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') {
      throw error;
    }
  });
  return folder.openFolder(bytes);
}

/** @throws SystemCallError `EEXIST` when the file is there */
export async function writeNew(folder: FolderHandle, name: string, bytes: Buffer): Promise<void> {
  const file = await folder.createFile(Buffer.from(name), 0o666, 'new');
  try {
    await file.write(bytes);
  } finally {
    await file.close();
  }
}

/**
 * Opens a folder, goes down from there by names, works in the last one and closes them all.
 * @throws SystemCallError; `ENOTDIR` for a link
 */
export async function inFolder<T>(
  files: Pick<FileOperations, 'openFolder'>,
  path: string,
  names: readonly string[],
  work: (folder: FolderHandle) => Promise<T>,
): Promise<T> {
  return descend(await files.openFolder(path), names, work);
}

async function descend<T>(
  folder: FolderHandle,
  [name, ...more]: readonly string[],
  work: (folder: FolderHandle) => Promise<T>,
): Promise<T> {
  try {
    return await (name === undefined ? work(folder) : descend(await folder.openFolder(Buffer.from(name)), more, work));
  } finally {
    await folder.close();
  }
}

/** A file of git's is replaced by writing `<name>.lock`, which nobody else may make meanwhile, and renaming it. */
export class HeldLock implements AsyncDisposable {
  readonly #folder: FolderHandle;
  readonly #name: string;
  readonly #file: WritableFile;
  #isTaken = true;

  private constructor(folder: FolderHandle, name: string, file: WritableFile) {
    this.#folder = folder;
    this.#name = name;
    this.#file = file;
  }

  /**
   * Waits as git does while another process holds the lock.
   * @param folder stays open as long as the lock is held
   * @param mode of the file that takes the place; the umask applies
   * @throws SystemCallError; `EEXIST` when the lock is still held by somebody else
   */
  static async take(
    folder: FolderHandle,
    name: string,
    { patienceMs = 0, mode = 0o666 }: { readonly patienceMs?: number; readonly mode?: number },
  ): Promise<HeldLock> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      try {
        return new HeldLock(folder, name, await folder.createFile(lockOf(name), mode, 'new'));
      } catch (error) {
        if (codeOf(error) !== 'EEXIST' || performance.now() > deadline) {
          throw error;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Puts this content in the place of the file, and lets go. @throws SystemCallError; then the file is as it was */
  async replace(content: Buffer): Promise<void> {
    await this.#file.write(content);
    await this.#file.close();
    await this.#folder.rename(lockOf(this.#name), Buffer.from(this.#name));
    this.#isTaken = false;
  }

  /** The file stays as it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close().catch(() => {});
    if (this.#isTaken) {
      this.#isTaken = false;
      await this.#folder.removeFile(lockOf(this.#name)).catch(() => {});
    }
  }
}

/** git's own patience with another process that changes a ref (git-config(1), core.filesRefLockTimeout). */
export const refPatienceMs = 100;
/** Between two attempts to take a lock. */
const pauseMs = 10;

function lockOf(name: string): Buffer {
  return Buffer.from(`${name}.lock`);
}

export function codeOf(error: unknown): string {
  return (error as SystemCallError).code ?? '';
}
