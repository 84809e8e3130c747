/** One file under whatever name it has. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** @param found what was looked at now; `undefined`: there was nothing */
export function isSameFile(found: FileIdentity | undefined, known: FileIdentity): boolean {
  return found?.dev === known.dev && found.ino === known.ino;
}
