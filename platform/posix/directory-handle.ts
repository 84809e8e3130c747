/**
 * A folder held open by descriptor. On Linux every path is made through `/proc/self/fd`, which is what openat(2) does:
 * whoever swaps the folder's path for a link afterwards does not lead us elsewhere. macOS has no such way through Node;
 * there the path is used as it is, after the same checks.
 */
import {
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { HostError } from '../errors.ts';
import { rawText } from '../raw-text.ts';
import { closeQuietly } from './descriptors.ts';
import { isPrivateGroup } from './git-host.ts';

/**
 * Owner the kernel shows for a user that our user namespace does not know (proc_sys_kernel(5)). Where the number belongs
 * to a user we do know, it is that user and nobody else.
 */
const overflowUid = 65_534;
const hasProc = existsSync('/proc/self/fd');

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
   * Opens a folder that nobody but us and root can redirect or write: neither the folder nor anything above it, on the
   * path as spelled and on the path as resolved, may belong to another user or be writable by everyone or by a group
   * that others are in, without the sticky bit (threat 2 of docs/faults.md). Who can rename a folder can put a link in its
   * place between any two looks at it.
   * @throws HostError naming the folder at fault, or Node's error
   */
  static openTrusted(path: string): DirectoryHandle {
    const absolute = resolve(path);
    assertTrustedChain(Buffer.from(absolute));
    const handle = DirectoryHandle.open(absolute);
    try {
      const resolved = handle.#resolvedPath();
      if (!resolved.equals(Buffer.from(absolute))) {
        assertTrustedChain(resolved);
      }
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

  /** Bytes: a link in UTF-8 may lead to a folder that is not, and its text would name another one. */
  #resolvedPath(): Buffer {
    return hasProc ? readlinkSync(`/proc/self/fd/${this.fd}`, 'buffer') : realpathSync(this.path, 'buffer');
  }
}

function assertTrustedChain(absolute: Buffer): void {
  let path = absolute;
  for (;;) {
    assertTrusted(rawText(path), lstatSync(path));
    if (path.length === 1) {
      return;
    }
    path = path.subarray(0, Math.max(1, path.lastIndexOf('/')));
  }
}

function assertTrusted(path: string, found: Stats): void {
  const own = process.geteuid?.();
  if (own !== undefined && found.uid !== own && found.uid !== 0 && !isUnknownUser(found.uid)) {
    throw new HostError(
      `${path} belongs to user ${found.uid}, not to user ${own}`,
      'choose a -socket path below a folder of your own',
    );
  }
  const sticky = (found.mode & 0o1000) !== 0;
  if (!found.isDirectory() || sticky) {
    return;
  }
  if ((found.mode & 0o002) !== 0) {
    throw new HostError(
      `${path} is writable by everyone and has no sticky bit`,
      `chmod o-w ${path}, or choose a -socket path below a folder of your own`,
    );
  }
  // Group 0 is root's, and that of everything in containers that run as an arbitrary user.
  if ((found.mode & 0o020) !== 0 && found.gid !== 0 && !isPrivateGroup(found.gid)) {
    throw new HostError(
      `${path} is writable by group ${found.gid}, which others may be in, and has no sticky bit`,
      `chmod g-w ${path}, or choose a -socket path below a folder of your own`,
    );
  }
}

/** Only in a user namespace that leaves the number out. */
function isUnknownUser(uid: number): boolean {
  if (uid !== overflowUid) {
    return false;
  }
  try {
    const known = readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n');
    return known.every((line) => {
      const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
      return uid < first || uid >= first + count;
    });
  } catch {
    return false;
  }
}
