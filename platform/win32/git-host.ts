/** What `git.*` must know about Windows (spec git.md §2.2, §10). */
import { copyFile, link, rename, stat, symlink } from 'node:fs/promises';
import type { GitHost } from '../git-host.ts';

export function createGitHost(): GitHost {
  return {
    nullDevice: 'NUL',
    externalRoots: false,
    registrationTests: false,
    linkFolder: (target, path) => symlink(target, path, 'junction'),
    linkFile,
    linkFileToReplace: linkFile,
    bringBack,
    comparable: (path) => path.replaceAll('/', '\\').toLowerCase(),
    isMisread,
    userId: () => -1,
    isPrivateGroup: () => false,
  };
}

/** A symbolic link takes a privilege here. A hard link does not, but both names must be on one volume. */
async function linkFile(target: string, path: string): Promise<void> {
  try {
    await link(target, path).catch(() => copyFile(target, path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error;
    }
  }
}

/** git has put a new file in the place of our hard link when it is no longer the same file. */
async function bringBack(path: string, target: string): Promise<void> {
  const [made, real] = await Promise.all([identityOf(path), identityOf(target)]);
  if (made === undefined || made === real) {
    return;
  }
  const beside = `${target}.holdfast`;
  await copyFile(path, beside);
  await rename(beside, target);
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

/** Windows drops dots and spaces at the end of a name, and a colon opens another stream of the same file. */
function isMisread(path: string): boolean {
  const [, rest = ''] = /^(?:[A-Za-z]:)?(.*)$/s.exec(path) ?? [];
  return rest.split(/[\\/]/).some((name) => name !== '.' && name !== '..' && /[. ]$|:/.test(name));
}
