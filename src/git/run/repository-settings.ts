/** The settings of a repository, read from its files once and never by git (spec git.md §2.2). */
import { join } from 'node:path';
import type { Paths } from '../../../platform/paths.ts';
import { isTrue } from './allowed-settings.ts';
import { parseConfiguration, type Setting } from './configuration-file.ts';
import { readSmallFile, smallFileBytes } from './control-files.ts';

/**
 * More than any repository has that people work in, and less than would keep the daemon from everybody else for long. Names
 * are counted apart, because one long section may stand in front of every variable.
 */
const limits = { settings: 10_000, parts: 250_000, nameBytes: 4_194_304 } as const;

export type RepositorySettings =
  | { readonly settings: readonly Setting[] }
  /** git cannot read the file, and says so when it meets such a line. */
  | { readonly badLine: number }
  /** Why the file is not read: wire text. */
  | { readonly refused: string; readonly isLimit: boolean };

/**
 * Settings of the repository, those of the worktree behind them where the repository has such.
 * @param gitDirectory of the worktree
 */
export async function readRepositorySettings(
  gitDirectory: string,
  commonDirectory: string,
  paths: Paths,
): Promise<RepositorySettings> {
  const common = await readSettings(join(commonDirectory, 'config'), paths);
  if (!('settings' in common) || !isTrue(common.settings, 'extensions.worktreeconfig')) {
    return common;
  }
  const own = await readSettings(join(gitDirectory, 'config.worktree'), paths);
  return 'settings' in own ? { settings: [...common.settings, ...own.settings] } : own;
}

/**
 * All settings of one file; none when it is missing. It is opened once, so it cannot become another one between a look and a
 * use.
 */
export async function readSettings(file: string, paths: Paths): Promise<RepositorySettings> {
  const read = await readSmallFile(file, paths, { followLinks: true });
  switch (read.state) {
    case 'missing':
      return { settings: [] };
    case 'notRegular':
      return refused(`${file} is not a regular file`, false);
    case 'failed':
      return refused(`${file} could not be read: ${read.reason}`, false);
    case 'tooLarge':
      return refused(
        `${file} is larger than ${smallFileBytes} bytes, the most that is read of a configuration; remove what is not needed from it`,
        true,
      );
  }
  const parsed = parseConfiguration(read.bytes, limits);
  if ('tooMany' in parsed) {
    const what = {
      settings: `${limits.settings} settings`,
      parts: `${limits.parts} names, values and comments`,
      nameBytes: `${limits.nameBytes} bytes of names`,
    };
    return refused(
      `${file} has more than ${what[parsed.tooMany]}, the most that are read; remove what is not needed from it`,
      true,
    );
  }
  return parsed;
}

function refused(why: string, isLimit: boolean): RepositorySettings {
  return { refused: `git not run: ${why}`, isLimit };
}
