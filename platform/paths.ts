/** How paths and error texts are spelled (spec files.md §2). Part of `Platform`. */

export interface Paths {
  /** Expands `~` and `~/...` as spec files.md §2 says; everything else is returned untouched. */
  expandTilde(path: string): string;
  /** Lexical clean of spec files.md §2. */
  clean(path: string): string;
  /** Folder of a path, lexically. */
  directoryOf(path: string): string;
  readonly separator: string;
  /** How the file name of a program that can be run ends: `.exe`, or nothing. */
  readonly programSuffix: string;
  /** Windows: with a drive and a root, or `\\server\share`; `\dir` and `C:dir` are relative. */
  isAbsolute(path: string): boolean;
  /** Whether a cleaned path is a root: `/`; Windows: `C:\`, `\\server\share\`. */
  isRoot(cleaned: string): boolean;
  /**
   * Whether the system reads the path as the one it looks like. POSIX: always. Windows: not with a device prefix
   * (`\\?\`, `\\.\`, `\??\`, also with slashes), a stream (`name:stream`), or a component that ends in a dot or a
   * space, which Windows drops.
   */
  hasPlainSpelling(path: string): boolean;
  /** Whether the cleaned `path` is `folder` or below it, as text, whole components; Windows folds case. */
  isWithin(path: string, folder: string): boolean;
  /** The OS's words for an error of Node's or of ours (spec files.md §2), e.g. `no such file or directory`. */
  reason(error: unknown): string;
  /** `reason` for an errno name such as `ENOENT`. */
  reasonForCode(code: string): string;
}
