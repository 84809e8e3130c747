/**
 * What `files.*` and `plugins.prune` need from the file system, in the engine's words. Part of `Platform`.
 *
 * Every failure is a `SystemCallError` whose message is the contract's form `<operation> <path>: <reason>` (spec files.md §2)
 * and whose `code` is an errno name; `ENOENT` alone means "does not exist" (Windows: file not found, path not found).
 * A NUL byte in a path is `EINVAL`. Nothing here blocks the event loop, and no special file (FIFO, device) holds up a call.
 *
 * Names inside a folder are bytes: on POSIX verbatim, on Windows UTF-8.
 */

export type FileKind = 'file' | 'directory' | 'link' | 'fifo' | 'socket' | 'blockDevice' | 'characterDevice' | 'other';

export interface FileStatus {
  readonly kind: FileKind;
  /** Bytes, as the OS tells them for every kind of file. */
  readonly size: number;
  /**
   * `0o4000` setuid, `0o2000` setgid, `0o1000` sticky, `0o777` permissions.
   * Windows: 0o777 for a directory, 0o444 for a read-only file, else 0o666.
   */
  readonly permissions: number;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  /** The very null device, by identity and not by its numbers. Always `false` on Windows: there `NUL` is no file. */
  readonly isNullDevice: boolean;
}

/** A file opened for reading. Whoever opened it closes it. */
export interface ReadableFile {
  /** Of the open file, not of whatever the path leads to by now. */
  status(): Promise<FileStatus>;
  /** Fills the front of `buffer`; 0 at the end of the file. @throws SystemCallError `read <path>: ...` */
  read(buffer: Buffer): Promise<number>;
  close(): Promise<void>;
}

/** A file opened for writing. Whoever opened it closes it. */
export interface WritableFile {
  /** Writes all of it. @throws SystemCallError `write <path>: ...` */
  write(bytes: Buffer): Promise<void>;
  /** Sets the times of the last access and the last change. @param seconds since the epoch */
  setTime(seconds: number): Promise<void>;
  close(): Promise<void>;
}

export interface FolderEntry {
  readonly name: Buffer;
  /** A link counts as what it leads to; one that leads nowhere, or cannot be looked at, is no directory. */
  readonly isDirectory: boolean;
}

/**
 * A real folder held open. Whatever is made or removed through it happens inside this very folder, even when somebody
 * swaps its path, or a folder inside it, for a link meanwhile. `name` is one component, never `..` or one with a separator.
 *
 * POSIX: calls relative to a descriptor (openat(2) and its kin), opened with O_NOFOLLOW.
 * Windows: the folder is opened with FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, without FILE_SHARE_DELETE,
 * and refused when it is a reparse point. While such a handle is open nobody can rename or replace the folder, so paths
 * below it are safe; `openFolder` holds the child the same way.
 */
export interface FolderHandle {
  /**
   * A working directory for a program that we start: this very folder, wherever it is by now. Good as long as the handle is
   * open. `undefined` where the OS has no such path (macOS).
   */
  readonly asWorkingDirectory: string | undefined;
  /** The path at which the folder is by now, without links; `undefined` where that is not known (macOS), or cannot change. */
  place(): Promise<string | undefined>;
  /** `name` may be `.`, to find out whether the folder may be searched. A link is `ENOTDIR`. */
  openFolder(name: Buffer): Promise<FolderHandle>;
  /** @param mode 0o700 unless given; the umask applies. @throws SystemCallError `EEXIST` whatever stands there */
  createFolder(name: Buffer, mode?: number): Promise<void>;
  /**
   * Opens a file for writing, never through a link (`ELOOP`).
   * `empty`: an existing file is emptied and keeps its mode. `new`: an existing entry is `EEXIST`.
   * @param mode the umask applies. Windows ignores it.
   */
  createFile(name: Buffer, mode: number, how: 'empty' | 'new'): Promise<WritableFile>;
  /**
   * All of a regular file, never through a link (`ELOOP`) and without waiting for a FIFO's writer.
   * @throws SystemCallError `EINVAL` when it is no regular file, `EFBIG` when it has more than `maxBytes`
   */
  readFile(name: Buffer, maxBytes: number): Promise<Buffer>;
  /** Gives an entry of this folder another name in it, in the place of a file that has the name. Folders are not replaced. */
  rename(name: Buffer, toName: Buffer): Promise<void>;
  /** Removes a file or a link, no folder. A missing one is no failure. */
  removeFile(name: Buffer): Promise<void>;
  /** Removes an empty folder. @throws SystemCallError when it is missing, or is no folder, or is not empty */
  removeFolder(name: Buffer): Promise<void>;
  /** As `FileOperations.removeTree`. */
  removeTree(name: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** How the OS names files: known without a look at one. */
export interface FileNames {
  /** Bytes of the longest path the OS takes; what is longer is `ENAMETOOLONG`. */
  readonly longestPath: number;

  /** The system's words for what stands in the way of a path that is walked folder by folder (spec generation-n2.md §8.2). */
  readonly inTheWay: {
    /** A file, where a folder is to be opened. */
    readonly file: string;
    /** A folder, where a file is to be made. */
    readonly folder: string;
  };

  /** Parts of an archive's entry name. Separators are `/`, on Windows also `\`. */
  splitEntryName(name: Buffer): Buffer[];
  /**
   * Whether a part of an entry name means something else than a file of that name to this OS. POSIX: never.
   * Windows: device names (`NUL`, `COM1`, `aux`, `CONIN$`, with or without dots or spaces behind; not `CON.txt`), and `:`.
   */
  isReservedName(part: Buffer): boolean;
}

/** The work itself. */
export interface FileCalls {
  /** Follows links. @throws SystemCallError `stat <path>: ...`, on Windows `CreateFile <path>: ...` */
  status(path: string): Promise<FileStatus>;
  /** Of the path itself; a link is a `link` (Windows: every reparse point). @throws SystemCallError `lstat <path>: ...` */
  statusOfEntry(path: string): Promise<FileStatus>;

  /**
   * Opens anything for reading, without waiting for a FIFO's writer and without taking a terminal as ours.
   * @throws SystemCallError `open <path>: ...`
   */
  openForReading(path: string): Promise<ReadableFile>;

  /**
   * All entries but `.` and `..`, in the order of the OS.
   * @param opening `any`: whatever it is, is opened first, and what is no folder fails with `readdirent <path>: ...`;
   * `folderOnly`: the open itself fails, `open <path>: ...`
   */
  list(path: string, opening: 'any' | 'folderOnly'): Promise<FolderEntry[]>;

  /**
   * Creates a folder with its missing parents, all 0700, and holds it open. The folder itself must not be there yet.
   * @throws SystemCallError `mkdir <path>: ...`, also naming a parent; `open <path>: ...`
   */
  createFolders(path: string): Promise<FolderHandle>;

  /**
   * Opens a folder that was just made once more, through the folder above it and with the right to read both.
   * @param made what `createFolders` returned
   * @returns `changed`: another folder has its name by now. Windows: `made`, whose name nobody can take while it is open
   * @throws SystemCallError `open <parent>: ...`, `openat <last name>: ...`; a link in its place is `ENOTDIR`
   */
  reopenThroughParent(path: string, made: FolderHandle): Promise<FolderHandle | 'changed'>;

  /** Holds an existing folder open; a link in the last place is `ENOTDIR`. @throws SystemCallError `open <path>: ...` */
  openFolder(path: string): Promise<FolderHandle>;

  /**
   * Gives an entry another name and replaces the file that has it. Windows: also when another program holds one of the two
   * for up to a second. @throws SystemCallError `rename <from> <to>: ...`
   */
  rename(from: string, to: string): Promise<void>;

  /** Removes one file, link or empty folder. @throws SystemCallError `unlinkat <path>: ...` */
  remove(path: string): Promise<void>;

  /**
   * Removes whatever is at `path` with all its content; a missing path is no failure. A link is removed, never followed,
   * even when a folder is swapped for one meanwhile, and another mounted file system is left alone (`EBUSY`), as are
   * the targets of Windows junctions. What can be removed is removed, then the first failure is reported.
   * The home folder, what contains it, and a root are refused (`EPERM`), whatever spelling they come in.
   * @throws SystemCallError `unlinkat <path of the entry>: ...`
   */
  removeTree(path: string): Promise<void>;
}

export type FileOperations = FileNames & FileCalls;
