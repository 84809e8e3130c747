/** Whether anybody but the user and root decides what lies at a path. Part of `Platform`. */

export interface Trust {
  /**
   * Nobody but the user and root (Windows: the user, administrators and the system) may own, replace or write what lies at
   * the path. Every folder and every link that the system passes on the way is judged (Windows: the entry itself and its
   * folder). Of a path that is missing, or that may not be looked at, the part before that is judged.
   * @param remedy what to do about an entry at fault, for example `choose a -cli-dir below a folder of your own`
   * @throws HostError naming the entry at fault
   */
  assertOnlyOurs(path: string, remedy: string): void;
  /** Whether other users may read a file; `false` where its mode does not tell (Windows), or when it cannot be looked at. */
  mayOthersRead(path: string): boolean;
}
