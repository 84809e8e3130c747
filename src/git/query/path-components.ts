import { sep } from 'node:path';

/** The components of a path as it is spelled, `.` and `..` among them. Elsewhere than on Windows a backslash is part of a name. */
export function componentsOf(path: string): string[] {
  return path.split(sep === '\\' ? /[\\/]/ : sep).filter((name) => name !== '');
}
