/** The mount that a path lies on, by the kernel's table (proc_pid_mountinfo(5)). */

export interface Mount {
  readonly place: string;
  readonly kind: string;
  readonly isNetwork: boolean;
  /** Those of the mount and of its file system. */
  readonly options: readonly string[];
}

/** Kinds whose files are on another machine, so that a look at them may wait for it. */
const networkKind =
  /^(nfs4?|cifs|smb3?|smbfs|afs|9p|ceph|glusterfs|lustre|beegfs|gpfs|fuse\.(sshfs|s3fs|glusterfs|ceph|rclone|gcsfuse))$/;

/**
 * @param path absolute, without links
 * @param table `/proc/self/mountinfo`; empty on systems that have none
 */
export function mountOf(path: string, table: string): Mount | undefined {
  let found: Mount | undefined;
  for (const line of table.split('\n')) {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [, , , , place = '', options = ''] = before.split(' ').map(unescaped);
    const [kind = '', , moreOptions = ''] = after.split(' ');
    // A later line lies over an earlier one of the same place.
    if (kind !== '' && isWithin(path, place) && place.length >= (found?.place.length ?? 0)) {
      const all = [...options.split(','), ...moreOptions.split(',')];
      found = { place, kind, isNetwork: networkKind.test(kind), options: all };
    }
  }
  return found;
}

function isWithin(path: string, place: string): boolean {
  return path === place || path.startsWith(place === '/' ? '/' : `${place}/`);
}

/** Blanks and backslashes stand there as octal numbers. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
