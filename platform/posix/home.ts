/** The home folder, read at each use: a test or an operator may change the environment. */
export function home(): string | undefined {
  const folder = process.env.HOME;
  return folder === undefined || folder === '' ? undefined : folder;
}
