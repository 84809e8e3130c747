/** What `git.*` must know about Linux and macOS. */
import fs, { readFileSync } from 'node:fs';
import type { GitHost } from '../git-host.ts';

export function createGitHost(): GitHost {
  return {
    nullDevice: '/dev/null',
    externalRoots: true,
    registrationTests: true,
    linkedFilesFollow: true,
    linkFolder: (target, path) => fs.promises.symlink(target, path),
    linkFile: (target, path) => fs.promises.symlink(target, path),
    comparable: (path) => path,
    isMisread: () => false,
    userId: () => process.geteuid?.() ?? -1,
    isPrivateGroup,
  };
}

/**
 * The group that many systems make for each user: our own gid, in the user list once, and its group lines name nobody
 * but that user. Users of a directory service are in no file, so their groups count as shared.
 */
export function isPrivateGroup(gid: number): boolean {
  if (gid !== process.getegid?.()) {
    return false;
  }
  const users = linesOf('/etc/passwd').filter((fields) => fields[3] === String(gid));
  const [user] = users;
  if (users.length !== 1 || user === undefined || user[2] !== String(process.geteuid?.())) {
    return false;
  }
  const name = user[0];
  const groups = linesOf('/etc/group').filter((fields) => fields[2] === String(gid));
  return (
    groups.length > 0 &&
    groups.every((fields) => {
      const members = (fields[3] ?? '').split(',').filter((member) => member !== '');
      return fields[0] === name && members.every((member) => member === name);
    })
  );
}

function linesOf(file: string): string[][] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(':'));
  } catch {
    return [];
  }
}
