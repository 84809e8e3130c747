/** Tests of a path by its spelling alone (spec git.md §6.2). */
import type { GitHost } from '../../../platform/git-host.ts';
import type { Paths } from '../../../platform/paths.ts';
import { componentsOf } from '../query/path-components.ts';
import { refusing, type WorktreeVerb } from './failures.ts';

const byAbsolutePath = 'choose the session folder by its absolute path, without ".."';

/** The path is absolute, has no `..`, and no name that the OS reads as another one. @throws WorktreeFailure */
export function checkSpelling(
  verb: WorktreeVerb,
  path: string,
  paths: Paths,
  host: GitHost,
  remedy: string = byAbsolutePath,
): void {
  if (!paths.isAbsolute(path)) {
    throw refusing(verb, `${path} is a relative path; ${remedy}`);
  }
  if (componentsOf(path).includes('..')) {
    throw refusing(verb, `${path} contains a ".." component; ${remedy}`);
  }
  if (host.isMisread(path)) {
    throw refusing(
      verb,
      `${path} has a component Windows reads as a different name (trailing dot or space, or a colon); ${remedy}`,
    );
  }
}
