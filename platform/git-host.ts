/** What `git.*` must know about the OS (spec git.md §2.2, §6.3, §10). Part of `Platform`. */

export interface GitHost {
  /** What git reads as an empty file where it wants a path: `/dev/null`, `NUL`. */
  readonly nullDevice: string;
  /** Whether worktrees outside their repository are served, which needs owners and modes that can be judged. */
  readonly externalRoots: boolean;
  /** Whether `.git` file and registration are compared after a worktree was added. */
  readonly registrationTests: boolean;
  /** Whether what {@link linkFile} has made reads as what the file has become by then, also when it was replaced. */
  readonly linkedFilesFollow: boolean;
  /** Makes `path` lead to a folder, which need not be there. @throws Node's error */
  linkFolder(target: string, path: string): Promise<void>;
  /** Makes `path` read as a file, if there is one. Windows: the file as it is now. @throws Node's error */
  linkFile(target: string, path: string): Promise<void>;
  /** A cleaned path in the spelling in which two names of one file are equal texts; the OS may fold case. */
  comparable(path: string): string;
  /** Whether the OS reads a component of the path as another name (trailing dot or space, colon). */
  isMisread(path: string): boolean;
  /** Our numeric user; -1 where there is no such thing. */
  userId(): number;
  /** Whether the group is the user's own, with no other member. */
  isPrivateGroup(gid: number): boolean;
}
