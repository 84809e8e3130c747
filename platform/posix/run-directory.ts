/** The folder of the socket: owned files, the advisory lock, the log (spec modes.md §5–7). */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  watch,
  writeSync,
} from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as libc from '../../native-bindings/libc.ts';
import { HostError } from '../errors.ts';
import type { LockAttempt, LockRecord, RunDirectoryLock } from '../lock.ts';
import { maxLockRecordBytes, parseLockRecord } from '../lock.ts';
import type { Paths } from '../paths.ts';
import type { OwnedFile, RunDirectories, RunDirectory } from '../run-directories.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { FileIdentity } from './file-identity.ts';
import { errnoName } from './paths.ts';

/** Longest wait for another daemon's start or end in the same folder; then we go on, as the contract's daemon would. */
const exclusiveWaitMs = 5_000;
const exclusivePollMs = 10;

export function createRunDirectories(paths: Paths): RunDirectories {
  return {
    haveOneDaemon: true,

    create(path) {
      try {
        createFolders(resolve(path));
      } catch (error) {
        if (error instanceof HostError) {
          throw error;
        }
        throw new HostError(`mkdir ${path}: ${paths.reason(error)}`, '', { cause: error });
      }
    },

    open(path) {
      try {
        return new PosixRunDirectory(DirectoryHandle.openTrusted(path));
      } catch (error) {
        if (error instanceof HostError) {
          throw error;
        }
        throw new HostError(`open ${path}: ${paths.reason(error)}`, '', { cause: error });
      }
    },

    openLog(path, rotate) {
      let directory: DirectoryHandle | undefined;
      try {
        directory = DirectoryHandle.openTrusted(dirname(path));
        const log = directory.at(basename(path));
        const failure = setAside(log, rotate);
        const fd = openSync(log, constants.O_WRONLY | constants.O_APPEND | exclusiveCreate, 0o600);
        fchmodSync(fd, 0o600);
        return { fd, olderGone: failure === undefined ? undefined : `rename ${path}: ${paths.reason(failure)}` };
      } catch (error) {
        return { declined: `open ${path}: ${paths.reason(error)}` };
      } finally {
        directory?.close();
      }
    },
  };
}

/**
 * Makes what is missing of a path, each folder through its trusted parent held open, so that nobody's link leads us to
 * make one elsewhere. Not Node's `recursive`: that one tries for ever where a parent is there and yet nothing can be made
 * in it (/proc).
 * @throws HostError for a parent that others can redirect or write, or Node's error
 */
function createFolders(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    return;
  }
  const parent = dirname(path);
  if (parent !== path) {
    createFolders(parent);
  }
  const above = DirectoryHandle.openTrusted(parent);
  try {
    mkdirSync(above.at(basename(path)), 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
    // Another start was faster, or something else stands there.
    if (statSync(path).isDirectory()) {
      return;
    }
    // What a bind in it would say, and mkdir with parents elsewhere.
    throw Object.assign(new Error(`${path} is not a folder`, { cause: error }), { code: 'ENOTDIR' });
  } finally {
    above.close();
  }
}

const exclusiveCreate = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * A log that cannot be moved away makes the exclusive create fail, which is the answer the caller needs. A folder under the
 * older name costs the older lines, not the log.
 * @returns why the rename failed
 */
function setAside(log: string, rotate: 'unlink' | 'rename'): unknown {
  let failure: unknown;
  if (rotate === 'rename') {
    try {
      renameSync(log, `${log}.old`);
      return undefined;
    } catch (error) {
      failure = (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : error;
    }
  }
  unlinkQuietly(log);
  return failure;
}

class PosixRunDirectory implements RunDirectory {
  readonly path: string;
  readonly #handle: DirectoryHandle;

  constructor(handle: DirectoryHandle) {
    this.path = handle.path;
    this.#handle = handle;
  }

  publish(name: string, content: Buffer): OwnedFile {
    this.#removeTemporaries(name);
    const temporary = this.#handle.at(`${name}-${randomBytes(6).toString('hex')}`);
    writeNew(temporary, content);
    let identity: FileIdentity | undefined;
    try {
      identity = new FileIdentity(temporary);
      renameSync(temporary, this.#handle.at(name));
    } catch (error) {
      identity?.release();
      unlinkQuietly(temporary);
      throw error;
    }
    const published = identity;
    return {
      path: `${this.path}/${name}`,
      remove: () => published.removeAt(this.#handle.at(name)),
    };
  }

  /** A daemon that was killed while it published has left its file, with a token in it. */
  #removeTemporaries(name: string): void {
    for (const other of readdirSync(this.#handle.at('.'))) {
      if (other.startsWith(`${name}-`) && /^[0-9a-f]{12}$/.test(other.slice(name.length + 1))) {
        unlinkQuietly(this.#handle.at(other));
      }
    }
  }

  removeLeftover(name: string): void {
    unlinkQuietly(this.#handle.at(name));
  }

  readText(name: string, maxBytes: number): string | undefined {
    let fd: number | undefined;
    try {
      // Non-blocking, because a FIFO planted under the name would otherwise hold us up for ever.
      fd = openSync(this.#handle.at(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if (!fstatSync(fd).isFile()) {
        return undefined;
      }
      return readUpTo(fd, maxBytes);
    } catch {
      return undefined;
    } finally {
      if (fd !== undefined) {
        closeSync(fd);
      }
    }
  }

  /** flock(2) on the folder itself: needs no file, and the kernel drops it with the process. */
  async exclusively<T>(work: () => Promise<T> | T): Promise<T> {
    const fd = openSync(this.#handle.at('.'), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (let waited = 0; waited < exclusiveWaitMs; waited += exclusivePollMs) {
        if (libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB) === 0) {
          break;
        }
        await delay(exclusivePollMs);
      }
      return await work();
    } finally {
      closeSync(fd);
    }
  }

  tryLock(name: string, options: { readonly create: boolean }): LockAttempt {
    const path = this.#handle.at(name);
    const shown = `${this.path}/${name}`;
    let fd: number;
    try {
      const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      fd = openSync(path, options.create ? flags | constants.O_CREAT : flags, 0o600);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return { state: code === 'ENOENT' ? 'missing' : 'unreadable', reason: `open ${shown}: ${code}` };
    }
    if (!fstatSync(fd).isFile()) {
      closeSync(fd);
      return { state: 'unreadable', reason: `${shown} is not a regular file` };
    }
    if (libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB) === 0) {
      if (options.create) {
        fchmodSync(fd, 0o600);
      }
      return { state: 'taken', lock: new PosixLock(fd) };
    }
    const failure = errnoName(libc.errno());
    const record =
      failure === 'EAGAIN' || failure === 'EWOULDBLOCK' ? parseLockRecord(readUpTo(fd, maxLockRecordBytes)) : undefined;
    closeSync(fd);
    if (failure !== 'EAGAIN' && failure !== 'EWOULDBLOCK') {
      return { state: 'unsupported', reason: `flock ${shown}: ${failure}` };
    }
    return { state: 'held', record };
  }

  watch(onChange: () => void): () => void {
    const watcher = watch(this.#handle.at('.'), { persistent: false }, onChange);
    // A folder that went away ends its watch; the caller's slower checks go on.
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  }

  close(): void {
    this.#handle.close();
  }
}

class PosixLock implements RunDirectoryLock {
  readonly #fd: number;
  #held = true;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(record: LockRecord): void {
    const text = Buffer.from(JSON.stringify(record));
    ftruncateSync(this.#fd, 0);
    writeSync(this.#fd, text, 0, text.length, 0);
  }

  release(): void {
    if (!this.#held) {
      return;
    }
    try {
      ftruncateSync(this.#fd, 0);
    } finally {
      this.letGo();
    }
  }

  letGo(): void {
    if (!this.#held) {
      return;
    }
    this.#held = false;
    closeSync(this.#fd);
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

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The first failure is the one to tell.
  }
}

export function readUpTo(fd: number, maxBytes: number): string {
  const buffer = Buffer.alloc(maxBytes);
  let length = 0;
  for (;;) {
    const count = readSync(fd, buffer, length, maxBytes - length, length);
    length += count;
    if (count === 0 || length === maxBytes) {
      return buffer.toString('utf8', 0, length);
    }
  }
}

export function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Missing, or a folder: not ours to clear.
  }
}
