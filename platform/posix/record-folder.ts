/** The records of children, in a folder of the run directory that is held open (spec platform.md §2). */
import { closeSync, constants, fstatSync, opendirSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordFolder } from '../child-markers.ts';
import { readFirst } from '../common/read-first.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { makePrivateFolder, openPlainFile, unlinkQuietly, writeNew } from './plain-file.ts';
import { assertTrustedWay } from './trust.ts';

/** See `ChildMarkers.openRecords`. */
export function openRecords(
  runDirectory: string,
  name: string,
  { create }: { readonly create: boolean },
): RecordFolder | 'missing' | 'notADirectory' {
  const parent = DirectoryHandle.openTrusted(runDirectory);
  try {
    if (create) {
      makeFolder(parent.at(name));
    }
    const folder = new PosixRecordFolder(DirectoryHandle.openPlain(parent.at(name)));
    try {
      // Nobody but us and root can put another folder in its place, because the run directory is trusted.
      assertTrustedWay(join(runDirectory, name), 'remove it');
      return folder;
    } catch (error) {
      folder.close();
      throw error;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      return 'missing';
    }
    if (code === 'ENOTDIR' || code === 'ELOOP') {
      return 'notADirectory';
    }
    if (code === 'EACCES') {
      // A folder of another user is named as such, whether or not we may open it.
      assertTrustedWay(join(runDirectory, name), 'remove it');
    }
    throw error;
  } finally {
    parent.close();
  }
}

function makeFolder(path: string): void {
  try {
    makePrivateFolder(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }
}

class PosixRecordFolder implements RecordFolder {
  readonly #handle: DirectoryHandle;

  constructor(handle: DirectoryHandle) {
    this.#handle = handle;
  }

  write(name: string, temporary: string, content: Buffer): void {
    const path = this.#handle.at(temporary);
    writeNew(path, content);
    try {
      renameSync(path, this.#handle.at(name));
    } catch (error) {
      unlinkQuietly(path);
      throw error;
    }
  }

  remove(name: string): unknown {
    try {
      unlinkSync(this.#handle.at(name));
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : error;
    }
  }

  *names(): Iterable<string> {
    const directory = opendirSync(this.#handle.at('.'));
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        yield entry.name;
      }
    } finally {
      directory.closeSync();
    }
  }

  read(name: string, maxBytes: number): string | undefined {
    try {
      const fd = openPlainFile(this.#handle.at(name), constants.O_RDONLY);
      try {
        const { size, uid } = fstatSync(fd);
        const isOurs = uid === process.geteuid?.() || uid === 0;
        return isOurs && size <= maxBytes ? readFirst(fd, maxBytes).toString('utf8') : undefined;
      } finally {
        closeSync(fd);
      }
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.#handle.close();
  }
}
