/** What `git.*` must know about Windows (spec git.md §2.2, §10). */
import fs from 'node:fs';
import type { GitHost } from '../git-host.ts';

export function createGitHost(): GitHost {
  return {
    nullDevice: 'NUL',
    externalRoots: false,
    registrationTests: false,
    linkedFilesFollow: false,
    linkFolder: (target, path) => fs.promises.symlink(target, path, 'junction'),
    linkFile,
    comparable: (path) => path.replaceAll('/', '\\').toLowerCase(),
    isMisread,
    userId: () => -1,
    isPrivateGroup: () => false,
  };
}

/** A symbolic link takes a privilege here. A hard link does not, but both names must be on one volume. */
async function linkFile(target: string, path: string): Promise<void> {
  try {
    await fs.promises.link(target, path).catch(() => fs.promises.copyFile(target, path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error;
    }
  }
}

/** Windows drops dots and spaces at the end of a name, and a colon opens another stream of the same file. */
function isMisread(path: string): boolean {
  const [, rest = ''] = /^(?:[A-Za-z]:)?(.*)$/s.exec(path) ?? [];
  return rest.split(/[\\/]/).some((name) => name !== '.' && name !== '..' && /[. ]$|:/.test(name));
}
