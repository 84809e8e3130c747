/**
 * A git directory of our own with copies of a worktree's `HEAD` and index, so that git can be asked about the worktree
 * without reading its `.git` file and without refreshing or locking its index (spec git.md §4.2).
 */
import { type FileHandle, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { openRegular } from './control-files.ts';

const maxIndexBytes = 1_073_741_824;
const pieceBytes = 1_048_576;

export interface PrivateGitDirectory extends AsyncDisposable {
  readonly path: string;
}

/** @returns `undefined` when the entry has no `HEAD` or something in it is no regular file */
export async function copyGitDirectory(
  entry: string,
  commonDirectory: string,
  paths: Paths,
): Promise<PrivateGitDirectory | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-git-'));
  const remove = () => rm(path, { recursive: true, force: true });
  try {
    await writeNew(join(path, 'commondir'), Buffer.from(`${commonDirectory}\n`));
    const head = await copyFile(join(entry, 'HEAD'), join(path, 'HEAD'), paths);
    const index = await copyFile(join(entry, 'index'), join(path, 'index'), paths);
    if (head !== 'copied' || index === 'refused') {
      await remove();
      return undefined;
    }
    // A split index keeps most of its entries in files beside it.
    for (const name of await readdir(entry)) {
      if (/^sharedindex\.[0-9a-f]+$/.test(name)) {
        await copyFile(join(entry, name), join(path, name), paths);
      }
    }
    return { path, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function copyFile(from: string, to: string, paths: Paths): Promise<'copied' | 'missing' | 'refused'> {
  const source = await openRegular(from, paths, { maxBytes: maxIndexBytes });
  if (source.state !== 'open') {
    return source.state === 'missing' ? 'missing' : 'refused';
  }
  try {
    const target = await open(to, 'wx', 0o600);
    try {
      await copyBytes(source.file, target);
      // git takes a file for changed when it is not older than the index. Seconds as a double are exact to a microsecond, so
      // the copy is made older by more than that: an older index makes git look at more files, a newer one would make it
      // miss changes.
      const { atimeMs, mtimeMs } = source.status;
      await target.utimes(atimeMs / 1000, (mtimeMs - 0.002) / 1000);
    } finally {
      await target.close();
    }
    return 'copied';
  } finally {
    await source.file.close();
  }
}

async function copyBytes(from: FileHandle, to: FileHandle): Promise<void> {
  const piece = Buffer.allocUnsafe(pieceBytes);
  for (let at = 0; ; ) {
    const { bytesRead } = await from.read(piece, 0, piece.length, at);
    if (bytesRead === 0) {
      return;
    }
    await to.write(piece, 0, bytesRead, at);
    at += bytesRead;
  }
}

async function writeNew(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
}
