/** The home folder, read at each use: a test or an operator may change the environment (spec platform.md §1: `USERPROFILE` only). */
import type { Home } from '../home.ts';

export const user: Home = { home, homeVariable: '%userprofile%' };

export function home(): string | undefined {
  const folder = process.env.USERPROFILE;
  return folder === undefined || folder === '' ? undefined : folder;
}
