/** The home folder, read at each use: a test or an operator may change the environment. */
import type { Home } from '../home.ts';

export const user: Home = { home, homeVariable: '$HOME' };

export function home(): string | undefined {
  const folder = process.env.HOME;
  return folder === undefined || folder === '' ? undefined : folder;
}
