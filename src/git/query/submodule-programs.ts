/**
 * Pins for the programs that populated submodules configure. `git status` of a whole repository runs git in each submodule,
 * and the pins of the repository's own programs do not know those names.
 */
import { join } from 'node:path';
import { CannotPin, type ConfigPin } from '../run/configuration-pins.ts';
import { entryAt } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';
import { maxIndexListBytes, mayNameSubmodules, submodulesInIndex } from './index-submodules.ts';
import { answerOf, askGitDirectory, askTopLevel } from './repository-folders.ts';

/** So many submodules are asked at the same time. */
const atOnce = 4;
/** Levels of submodules in submodules. git itself has no limit, but a loop of links must end. */
const deepest = 16;

/**
 * @param worktree a folder in the work tree, or the top of it
 * @param gitDirectory of that work tree, absolute
 * @throws CannotPin
 */
export async function submoduleProgramPins(
  repository: Repository,
  worktree: string,
  gitDirectory: string,
): Promise<ConfigPin[]> {
  return pinsBelow(repository, worktree, gitDirectory, 0);
}

async function pinsBelow(
  repository: Repository,
  worktree: string,
  gitDirectory: string,
  depth: number,
): Promise<ConfigPin[]> {
  if (
    depth === deepest ||
    !(await mayNameSubmodules(join(gitDirectory, 'index'), repository.program.services.platform.paths))
  ) {
    return [];
  }
  const top = answerOf(await askTopLevel(repository, { directory: worktree }));
  const index = await repository.run(['ls-files', '-s', '-z', '--full-name', '--', ':(top)'], {
    directory: worktree,
    maxOutputBytes: maxIndexListBytes,
  });
  if (index.timedOut || index.overflowed) {
    throw new CannotPin(`the submodules could not be listed: ${index.failure}`);
  }
  if (top === undefined || index.failure !== undefined) {
    return [];
  }
  const populated: string[] = [];
  for (const name of submodulesInIndex(index.stdout)) {
    const path = join(top, name.toString());
    if ((await entryAt(join(path, '.git'))) !== undefined) {
      populated.push(path);
    }
  }
  const pins: ConfigPin[] = [];
  for (let at = 0; at < populated.length; at += atOnce) {
    const some = populated.slice(at, at + atOnce).map((path) => pinsOf(repository, path, depth + 1));
    pins.push(...(await Promise.all(some)).flat());
  }
  return pins;
}

async function pinsOf(repository: Repository, path: string, depth: number): Promise<ConfigPin[]> {
  const gitDirectory = answerOf(await askGitDirectory(repository, { directory: path }));
  if (gitDirectory === undefined) {
    return [];
  }
  return [...(await repository.pins.ofProgramsIn(path)), ...(await pinsBelow(repository, path, gitDirectory, depth))];
}
