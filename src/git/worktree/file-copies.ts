/** Copies files of a repository into a new worktree, and never writes anywhere else (spec git.md §6.5). */
import { type FileHandle, realpath } from 'node:fs/promises';
import type { FolderHandle, WritableFile } from '../../../platform/files.ts';
import { openRegular } from '../run/control-files.ts';
import type { GitServices } from '../run/services.ts';
import { CopyBudget } from './copy-budget.ts';
import { assertPlace } from './true-place.ts';

const pieceBytes = 1_048_576;
const slash = 0x2f;

/** Keeps the folders of the last file open, so that the next file of the same folder needs no new walk. */
export class FileCopies implements AsyncDisposable {
  readonly #services: GitServices;
  /** With a separator at its end. */
  readonly #source: Buffer;
  readonly #target: FolderHandle;
  /** The chain of folders below the target that the last file was in. */
  readonly #open: { readonly name: Buffer; readonly folder: FolderHandle }[] = [];
  readonly #piece = Buffer.allocUnsafe(pieceBytes);
  readonly budget = new CopyBudget();

  private constructor(services: GitServices, source: string, target: FolderHandle) {
    this.#services = services;
    this.#source = Buffer.from(`${source}/`);
    this.#target = target;
  }

  /** @throws Node's error, SystemCallError when the worktree is not there, or not in its place */
  static async into(
    services: GitServices,
    source: string,
    { worktree, place }: { readonly worktree: string; readonly place: string | undefined },
  ): Promise<FileCopies> {
    const folder = await services.platform.files.openFolder(await realpath(worktree));
    try {
      await assertPlace(folder, place);
      return new FileCopies(services, source, folder);
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  /**
   * Best effort: a regular file becomes a new one, 0666 less umask, with its folders; anything else is left out, and so is
   * a file that would be written through a link in the worktree.
   * @param path relative, components separated by `/`
   */
  async copy(path: Buffer, existing: 'keep' | 'replace'): Promise<void> {
    const names = split(path);
    // Neither git nor a folder listing gives such names; the test makes sure that we never write outside the worktree.
    if (names.some((name) => name.length === 0 || name.equals(dot) || name.equals(dotDot))) {
      return;
    }
    const name = names.pop();
    if (name === undefined) {
      return;
    }
    const source = await openRegular(Buffer.concat([this.#source, path]), this.#services.platform.paths, {
      maxBytes: Number.MAX_SAFE_INTEGER,
    });
    if (source.state !== 'open') {
      return;
    }
    try {
      if (!this.budget.takes(source.status)) {
        return;
      }
      const folder = await this.#folder(names);
      if (existing === 'replace') {
        await folder.removeFile(name);
      }
      const target = await folder.createFile(name, 0o666, 'new');
      const complete = await this.#fill(target, source.file);
      // Part of a file would look like the whole file, which is worse than no file.
      if (!complete) {
        await folder.removeFile(name);
      }
    } catch {
      // This file is left out; the others may still be copied.
    } finally {
      await source.file.close();
    }
  }

  async #fill(target: WritableFile, source: FileHandle): Promise<boolean> {
    try {
      for (;;) {
        const { bytesRead } = await source.read(this.#piece, 0, this.#piece.length, null);
        if (bytesRead === 0) {
          break;
        }
        if (!this.budget.takeBytes(bytesRead)) {
          await target.close();
          return false;
        }
        await target.write(this.#piece.subarray(0, bytesRead));
      }
      await target.close();
      return true;
    } catch {
      await target.close().catch(() => {});
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeTo(0);
    await this.#target.close();
  }

  async #folder(names: readonly Buffer[]): Promise<FolderHandle> {
    let common = 0;
    while (common < names.length && names[common]?.equals(this.#open[common]?.name ?? nothing)) {
      common++;
    }
    await this.#closeTo(common);
    let at = this.#open[common - 1]?.folder ?? this.#target;
    for (const name of names.slice(common)) {
      at = await openOrCreate(at, name);
      this.#open.push({ name, folder: at });
    }
    return at;
  }

  async #closeTo(depth: number): Promise<void> {
    for (const { folder } of this.#open.splice(depth)) {
      await folder.close();
    }
  }
}

const dot = Buffer.from('.');
const dotDot = Buffer.from('..');
const nothing = Buffer.alloc(0);

async function openOrCreate(folder: FolderHandle, name: Buffer): Promise<FolderHandle> {
  try {
    return await folder.openFolder(name);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') {
      throw error;
    }
    await folder.createFolder(name, 0o777);
    return folder.openFolder(name);
  }
}

function split(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = path.indexOf(slash, at);
    names.push(path.subarray(at, end < 0 ? path.length : end));
    if (end < 0) {
      return names;
    }
    at = end + 1;
  }
}
