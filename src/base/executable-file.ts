import { accessSync, constants, statSync } from 'node:fs';

/** Whether a regular file that we may execute is there, links followed. */
export function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
