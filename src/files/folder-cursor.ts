/**
 * Walks to the folders of a destination through open folders only, creating what is missing, and stays where it is:
 * the entries of an archive follow each other folder by folder.
 */
import type { FolderHandle } from '../../platform/files.ts';
import { failedWith } from './system-failures.ts';

/** How many folders of the current path stay open. The way to one that was closed starts at the top again. */
const mostOpen = 32;

interface Step {
  readonly name: Buffer;
  /** `undefined`: closed again, because the path is deep. */
  folder: FolderHandle | undefined;
}

/** A part of the path is no folder, or could not be made or opened. */
export class FolderFailure extends Error {
  override readonly name = 'FolderFailure';
  /** How many parts of the path were there or made; the next one failed. */
  readonly depth: number;
  /** Whether something that is no folder stands there. */
  readonly occupied: boolean;

  constructor(depth: number, occupied: boolean, cause: unknown) {
    super('folder failure', { cause });
    this.depth = depth;
    this.occupied = occupied;
  }
}

export class FolderCursor {
  readonly #root: FolderHandle;
  readonly #steps: Step[] = [];

  /** Does not take over `root`. */
  constructor(root: FolderHandle) {
    this.#root = root;
  }

  /** The folder at `parts`, valid until the next call. @throws FolderFailure */
  async folderAt(parts: readonly Buffer[]): Promise<FolderHandle> {
    let common = 0;
    for (const name of parts) {
      if (!this.#steps[common]?.name.equals(name)) {
        break;
      }
      common++;
    }
    if (common > 0 && this.#steps[common - 1]?.folder === undefined) {
      common = 0;
    }
    await this.#leave(common);
    let folder = this.#steps.at(-1)?.folder ?? this.#root;
    for (const name of parts.slice(common)) {
      folder = await this.#enter(folder, name);
      this.#steps.push({ name, folder });
      const surplus = this.#steps.at(-1 - mostOpen);
      await surplus?.folder?.close();
      if (surplus !== undefined) {
        surplus.folder = undefined;
      }
    }
    return folder;
  }

  close(): Promise<void> {
    return this.#leave(0);
  }

  async #leave(depth: number): Promise<void> {
    for (const { folder } of this.#steps.splice(depth)) {
      await folder?.close();
    }
  }

  async #enter(folder: FolderHandle, name: Buffer): Promise<FolderHandle> {
    const depth = this.#steps.length;
    let created = true;
    try {
      await folder.createFolder(name);
    } catch (error) {
      if (!failedWith(error, 'EEXIST')) {
        throw new FolderFailure(depth, false, error);
      }
      created = false;
    }
    try {
      return await folder.openFolder(name);
    } catch (error) {
      throw new FolderFailure(depth, !created && failedWith(error, 'ENOTDIR', 'ELOOP'), error);
    }
  }
}
