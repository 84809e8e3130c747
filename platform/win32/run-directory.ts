/** One run directory, held open: its files, its lock, and whose turn it is in it (spec modes.md §5-7, platform.md §3). */

import { closeSync, lstatSync, renameSync, unlinkSync, watch, writeSync } from 'node:fs';
import { win32 } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { readFirst } from '../common/read-first.ts';
import type { LockAttempt } from '../lock.ts';
import type { OwnedFile, RunDirectory } from '../run-directories.ts';
import type { DirectoryHandle } from './directory-handle.ts';
import { FileIdentity } from './file-identity.ts';
import { tryLock } from './lock.ts';
import { openPlainFile } from './plain-file.ts';
import { randomHex } from './random.ts';
import { ownerOnly } from './security.ts';
import { isOthersTurn } from './turns.ts';

/** Exists exactly as long as a daemon of this folder starts or ends; the system removes it with its holder. */
const exclusiveName = 'daemon.busy';
/** Longest wait for another daemon's start or end in the same folder; then we go on, as the contract's daemon would. */
const exclusiveWaitMs = 5_000;
const exclusivePollMs = 10;

/** Virus scanners open new files for a moment, and a file that is open so cannot be replaced. */
const replaceAttempts = 20;
const replaceRetryMs = 10;

export class WindowsRunDirectory implements RunDirectory {
  readonly path: string;
  readonly #handle: DirectoryHandle;

  constructor(handle: DirectoryHandle) {
    this.path = handle.path;
    this.#handle = handle;
  }

  publish(name: string, content: Buffer): OwnedFile {
    const path = this.#handle.at(name);
    const temporary = this.#handle.at(`${name}-${randomHex(6)}`);
    const { fd } = openPlainFile(temporary, {
      access: kernel32.GENERIC_WRITE,
      share: kernel32.FILE_SHARE_READ,
      disposition: kernel32.CREATE_NEW,
    });
    let identity: FileIdentity;
    try {
      try {
        writeWhole(fd, content);
        identity = new FileIdentity(fd, content);
      } finally {
        closeSync(fd);
      }
      replace(temporary, path);
    } catch (error) {
      unlinkQuietly(temporary);
      throw error;
    }
    return { path, remove: () => identity.removeAt(path) };
  }

  removeLeftover(name: string): void {
    unlinkQuietly(this.#handle.at(name));
  }

  readText(name: string, maxBytes: number): string | undefined {
    try {
      const { fd } = openPlainFile(this.#handle.at(name), {
        access: kernel32.GENERIC_READ,
        share: kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE,
        disposition: kernel32.OPEN_EXISTING,
      });
      try {
        return readFirst(fd, maxBytes).toString('utf8');
      } finally {
        closeSync(fd);
      }
    } catch {
      return undefined;
    }
  }

  async exclusively<T>(work: () => Promise<T> | T): Promise<T> {
    const path = this.#handle.at(exclusiveName);
    let turn = takeTurn(path);
    for (const giveUpAt = performance.now() + exclusiveWaitMs; turn === 'others' && performance.now() < giveUpAt; ) {
      await delay(exclusivePollMs);
      turn = takeTurn(path);
    }
    try {
      return await work();
    } finally {
      if (typeof turn === 'bigint') {
        kernel32.CloseHandle(turn);
      }
    }
  }

  tryLock(name: string, options: { readonly create: boolean }): LockAttempt {
    return tryLock(this.#handle.at(name), options);
  }

  watch(onChange: () => void): () => void {
    const watcher = watch(this.path, { persistent: false }, onChange);
    // A folder that went away ends its watch; the caller's slower checks go on.
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  }

  close(): void {
    this.#handle.close();
  }
}

/**
 * Opens the marker shared with nobody.
 * @returns `others`: somebody else has it; `none`: there is no taking turns here, and waiting would not change that
 */
function takeTurn(path: string): Handle | 'others' | 'none' {
  const handle = kernel32.CreateFileW(
    win32.toNamespacedPath(path),
    kernel32.GENERIC_WRITE | kernel32.DELETE,
    0,
    ownerOnly(),
    kernel32.OPEN_ALWAYS,
    kernel32.FILE_ATTRIBUTE_NORMAL | kernel32.FILE_FLAG_DELETE_ON_CLOSE | kernel32.FILE_FLAG_OPEN_REPARSE_POINT,
    null,
  );
  if (handle !== kernel32.INVALID_HANDLE_VALUE) {
    return handle;
  }
  return isOthersTurn(kernel32.GetLastError(), () => canBeLookedAt(path)) ? 'others' : 'none';
}

function canBeLookedAt(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function replace(from: string, to: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(from, to);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const transient = code === 'EPERM' || code === 'EACCES' || code === 'EBUSY';
      if (!transient || attempt === replaceAttempts) {
        throw error;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, replaceRetryMs);
    }
  }
}

function writeWhole(fd: number, content: Buffer): void {
  for (let at = 0; at < content.length; ) {
    at += writeSync(fd, content, at);
  }
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Missing, or a folder: not ours to clear.
  }
}
