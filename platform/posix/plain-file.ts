/** Files of the run directory: made for us alone, never through a link, and never a FIFO or device that would hold us up. */
import { closeSync, constants, fchmodSync, fstatSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { closeQuietly } from './descriptors.ts';

/** Something else than a regular file has the name: a folder, FIFO, socket or device. */
export class NotPlainFileError extends Error {
  override readonly name = 'NotPlainFileError';
}

/**
 * Opens a regular file, never through a link. Non-blocking, because a FIFO planted under the name would otherwise wait for
 * its other end for ever.
 * @param access O_RDONLY, O_WRONLY or O_RDWR, and O_CREAT (0600) where a missing file is to be made
 * @throws Node's error, or NotPlainFileError
 */
export function openPlainFile(path: string, access: number): number {
  const fd = openSync(path, access | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  try {
    if (fstatSync(fd).isFile()) {
      return fd;
    }
    throw new NotPlainFileError(`${path} is not a regular file`);
  } catch (error) {
    closeQuietly(fd);
    throw error;
  }
}

/** With O_WRONLY and its kin: makes a file of ours and takes no other one, nor a link, for it. */
export const exclusiveCreate = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Makes a folder with mode 0700, also where the umask would not leave its owner anything. @throws Node's error */
export function makePrivateFolder(path: string): void {
  const umask = process.umask(0o077);
  try {
    mkdirSync(path, 0o700);
  } finally {
    process.umask(umask);
  }
}

/** A file of ours that is not there yet, 0600, whole or not at all: some file systems tell only at the close what they lost. */
export function writeNew(path: string, content: Buffer): void {
  let fd: number | undefined = openSync(path, constants.O_WRONLY | exclusiveCreate, 0o600);
  try {
    fchmodSync(fd, 0o600);
    for (let at = 0; at < content.length; ) {
      at += writeSync(fd, content, at);
    }
    const written = fd;
    fd = undefined;
    closeSync(written);
  } catch (error) {
    unlinkQuietly(path);
    if (fd !== undefined) {
      closeQuietly(fd);
    }
    throw error;
  }
}

export function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is missing, or a folder, which is not ours to remove.
  }
}
