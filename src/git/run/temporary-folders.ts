/** Folders for the time of one piece of work. What is still there at the daemon's end goes with it. */
import { mkdtemp, readdir, realpath, rm, rmdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class TemporaryFolders implements AsyncDisposable {
  readonly #otherPlace: string;
  readonly #inUse = new Set<string>();

  /** @param otherPlace where folders are made when the system's temporary folder cannot be used; it may have been removed since our start */
  constructor(otherPlace: string) {
    this.#otherPlace = otherPlace;
  }

  /**
   * A new folder that only we may enter, for as long as the work takes.
   * @throws Node's error when no folder can be made
   */
  async with<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const folder = await this.#make();
    this.#inUse.add(folder);
    try {
      return await work(folder);
    } finally {
      await this.#remove(folder);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#inUse].map((folder) => this.#remove(folder)));
  }

  async #make(): Promise<string> {
    const name = 'holdfast-git-';
    try {
      return await realpath(await mkdtemp(join(tmpdir(), name)));
    } catch (error) {
      // The first failure is the one to be told.
      return mkdtemp(join(this.#otherPlace, name)).then(
        (folder) => realpath(folder),
        () => {
          throw error;
        },
      );
    }
  }

  async #remove(folder: string): Promise<void> {
    await removeAll(folder).catch(() => rm(folder, { recursive: true, force: true }));
    this.#inUse.delete(folder);
  }
}

/** So many entries are removed at the same time. */
const removedAtOnce = 32;

/** Takes half the system calls of Node's own removal, which looks at every entry by itself. @throws Node's error */
async function removeAll(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (let at = 0; at < entries.length; at += removedAtOnce) {
    await Promise.all(
      entries.slice(at, at + removedAtOnce).map((entry) => {
        const path = join(folder, entry.name);
        return entry.isDirectory() ? removeAll(path) : unlink(path);
      }),
    );
  }
  await rmdir(folder);
}
