/** Whether a file may be executed. */
import { accessSync, constants, type Stats, statSync } from 'node:fs';

/**
 * As Go's exec.LookPath: a sandbox may refuse to answer (EPERM, ENOSYS), and then the permission bits decide.
 * @param found what `statSync` says of it
 * @throws Node's error
 */
export function assertExecutable(path: string | Buffer, found: Pick<Stats, 'mode'>): void {
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    const isAnswer = !['EPERM', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '');
    if (isAnswer || (found.mode & 0o111) === 0) {
      throw error;
    }
  }
}

/** Whether a regular file that we may execute is there, links followed. */
export function isExecutableFile(path: string | Buffer): boolean {
  try {
    const found = statSync(path);
    assertExecutable(path, found);
    return found.isFile();
  } catch {
    return false;
  }
}
