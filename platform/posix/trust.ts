/**
 * Who can decide what lies at a path (threat 2 of docs/security.md). Whoever can rename or write a folder on the way can
 * put a link or a file of his own there between any two looks at it, so every step of the way is judged.
 */
import { lstatSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { HostError } from '../errors.ts';
import { rawBytes, rawText } from '../raw-text.ts';
import type { Trust } from '../trust.ts';
import { isPrivateGroup } from './git-host.ts';

/**
 * Owner the kernel shows for a user that our user namespace does not know (proc_sys_kernel(5)). Where the number belongs
 * to a user we do know, it is that user and nobody else.
 */
const overflowUid = 65_534;
/** As many as the kernel follows on one way (path_resolution(7)). */
const maxLinks = 40;

export function createTrust(): Trust {
  return {
    assertOnlyOurs(path, remedy) {
      try {
        assertTrustedWay(path, remedy);
      } catch (error) {
        if (error instanceof HostError) {
          throw error;
        }
        // The way ends here: what is missing cannot be judged, and the next call that uses the path reports it.
      }
    },
    mayOthersRead(path) {
      try {
        return (statSync(path).mode & 0o077) !== 0;
      } catch {
        return false;
      }
    },
  };
}

/**
 * Judges every entry that the system passes on its way to `path`, links and their targets included, and the last one too.
 * Paths are kept as bytes, one character each, because a link may lead to a folder whose name is not UTF-8.
 * @throws HostError naming the entry at fault, or Node's error where the way ends
 */
export function assertTrustedWay(path: string, remedy: string): void {
  const todo = componentsOf(rawBytes(resolve(path)).toString('latin1'));
  let at = '/';
  let links = 0;
  judge(at, lstatSync('/'), remedy);
  for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
    if (name === '..') {
      at = at.slice(0, Math.max(1, at.lastIndexOf('/')));
      continue;
    }
    const next = at === '/' ? `/${name}` : `${at}/${name}`;
    const bytes = Buffer.from(next, 'latin1');
    const found = lstatSync(bytes);
    judge(rawText(bytes), found, remedy);
    if (!found.isSymbolicLink()) {
      at = next;
      continue;
    }
    links++;
    if (links > maxLinks) {
      throw Object.assign(new Error(`too many links on the way to ${path}`), { code: 'ELOOP' });
    }
    const target = readlinkSync(bytes, 'buffer').toString('latin1');
    if (target.startsWith('/')) {
      at = '/';
    }
    todo.unshift(...componentsOf(target));
  }
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function judge(path: string, found: Stats, remedy: string): void {
  const own = process.geteuid?.();
  if (own !== undefined && found.uid !== own && found.uid !== 0 && !isUnknownUser(found.uid)) {
    throw new HostError(`${path} belongs to user ${found.uid}, not to user ${own}`, remedy);
  }
  const isFolder = found.isDirectory();
  const sticky = isFolder && (found.mode & 0o1000) !== 0;
  if (sticky || !(isFolder || found.isFile())) {
    return;
  }
  if ((found.mode & 0o002) !== 0) {
    const writable = isFolder ? 'writable by everyone and has no sticky bit' : 'writable by everyone';
    throw new HostError(`${path} is ${writable}`, `chmod o-w ${path}, or ${remedy}`);
  }
  // Group 0 is root's, and that of everything in containers that run as an arbitrary user.
  if ((found.mode & 0o020) !== 0 && found.gid !== 0 && !isPrivateGroup(found.gid)) {
    const writable = `writable by group ${found.gid}, which others may be in`;
    throw new HostError(
      `${path} is ${isFolder ? `${writable}, and has no sticky bit` : writable}`,
      `chmod g-w ${path}, or ${remedy}`,
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
