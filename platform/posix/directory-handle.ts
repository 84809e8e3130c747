/**
 * A folder held open by descriptor. On Linux every path is made through `/proc/self/fd`, which is what openat(2) does:
 * whoever swaps the folder's path for a link afterwards does not lead us elsewhere. macOS has no such way through Node;
 * there the path is used as it is, after the same checks.
 */
import { constants, fstatSync, openSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HostError } from '../errors.ts';
import { closeQuietly } from './descriptors.ts';
import { hasProc } from './proc-files.ts';
import { assertTrustedWay } from './trust.ts';

/** What to do about a folder that others can redirect. */
const remedy = 'choose a -socket path below a folder of your own';

export class DirectoryHandle {
  readonly path: string;
  readonly fd: number;
  #open = true;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  /** Opens whatever folder is there. @throws Node's error when it is missing or no folder */
  static open(path: string): DirectoryHandle {
    return new DirectoryHandle(path, openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
  }

  /** As `open`, but a link in the last place is refused (ENOTDIR or ELOOP). */
  static openPlain(path: string): DirectoryHandle {
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    return new DirectoryHandle(path, openSync(path, flags));
  }

  /**
   * Opens a folder that nobody but us and root can redirect or write: neither the folder nor anything on the way to it may
   * belong to another user or be writable by everyone or by a group that others are in, without the sticky bit (threat 2 of
   * docs/security.md).
   * @throws HostError naming the folder at fault, or Node's error
   */
  static openTrusted(path: string): DirectoryHandle {
    const absolute = resolve(path);
    assertTrustedWay(absolute, remedy);
    const handle = DirectoryHandle.open(absolute);
    try {
      const opened = fstatSync(handle.fd);
      const named = statSync(absolute);
      if (opened.dev !== named.dev || opened.ino !== named.ino) {
        throw new HostError(`${absolute} was replaced while it was being opened`, 'choose a folder of your own');
      }
      return handle;
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  /** Path of an entry. */
  at(name: string): string {
    return hasProc ? `/proc/self/fd/${this.fd}/${name}` : join(this.path, name);
  }

  close(): void {
    if (!this.#open) {
      return;
    }
    this.#open = false;
    closeQuietly(this.fd);
  }
}
