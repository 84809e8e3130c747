/** What `git.*` must know about Windows (spec git.md §2.2, §10). */
import type { GitHost } from '../git-host.ts';

export function createGitHost(): GitHost {
  return {
    nullDevice: 'NUL',
    externalRoots: false,
    registrationTests: false,
    comparable: (path) => path.replaceAll('/', '\\').toLowerCase(),
    isMisread,
    userId: () => -1,
    isPrivateGroup: () => false,
  };
}

/** Windows drops dots and spaces at the end of a name, and a colon opens another stream of the same file. */
function isMisread(path: string): boolean {
  const [, rest = ''] = /^(?:[A-Za-z]:)?(.*)$/s.exec(path) ?? [];
  return rest.split(/[\\/]/).some((name) => name !== '.' && name !== '..' && /[. ]$|:/.test(name));
}
