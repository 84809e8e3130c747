import { sep } from 'node:path';

/** The components of a path as it is spelled, `.` and `..` among them. A backslash separates on Windows only. */
export function componentsOf(path: string): string[] {
  return path.split(sep === '\\' ? /[\\/]/ : sep).filter((name) => name !== '');
}
