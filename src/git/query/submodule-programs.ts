/**
 * Programs that populated submodules configure. `git status` of a whole repository asks git about each of them, and the
 * pins of the repository's own programs do not know their names.
 */
import { join } from 'node:path';
import { CannotPin } from '../run/configuration-pins.ts';
import { entryAt } from '../run/control-files.ts';
import { maxIndexListBytes } from '../run/git-program.ts';
import type { ConfigPin } from '../run/hardening.ts';
import { lineOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { mayNameSubmodules } from './index-submodules.ts';
import { submodulesInIndex } from './submodule-entries.ts';

/** Submodules asked at once. */
const atOnce = 4;
/** Of the submodules of submodules and so on; git itself has no limit, but a loop of links must end. */
const deepest = 16;

/**
 * @param worktree a folder in the work tree, or the top of it
 * @param gitDirectory of that work tree, absolute or relative to `worktree`
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
  const top = await repository.run(['rev-parse', '--show-toplevel'], { directory: worktree });
  const index = await repository.run(['ls-files', '-s', '-z', '--full-name', '--', ':(top)'], {
    directory: worktree,
    maxOutputBytes: maxIndexListBytes,
  });
  if (index.timedOut || index.overflowed) {
    throw new CannotPin(`the submodules could not be listed: ${index.failure}`);
  }
  if (top.failure !== undefined || index.failure !== undefined) {
    return [];
  }
  const populated: string[] = [];
  for (const name of submodulesInIndex(index.stdout)) {
    const path = join(lineOf(top), name.toString());
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
  const where = await repository.run(['rev-parse', '--absolute-git-dir'], { directory: path, set: 'heavy' });
  if (where.failure !== undefined) {
    return [];
  }
  return [...(await repository.programPinsOf(path)), ...(await pinsBelow(repository, path, lineOf(where), depth))];
}
