/** Session worktrees lie below their repository, reached without links (spec git.md §6.2). */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import type { GitHost } from '../../../platform/git-host.ts';
import type { Paths } from '../../../platform/paths.ts';
import { componentsOf } from '../query/path-components.ts';
import { entryAt } from '../run/control-files.ts';
import type { GitServices } from '../run/services.ts';
import { noParent, refusing, type Verb, type WorktreeFailure } from './failures.ts';

const byAbsolutePath = 'choose the session folder by its absolute path, without ".."';

/** Tests of the spelling alone: absolute, no `..`, no name that the OS reads as another. @throws WorktreeFailure */
export function checkSpelling(
  verb: Verb,
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

/**
 * The rows of the table up to the symbolic links.
 * @param path as sent, after tilde; not empty
 * @throws WorktreeFailure
 */
export async function checkContained(verb: Verb, path: string, baseRepo: string, services: GitServices): Promise<void> {
  const { paths, git: host } = services.platform;
  checkSpelling(verb, path, paths, host);
  const base = resolve(baseRepo);
  const target = paths.clean(path);
  if (host.comparable(base) === host.comparable(target) || !paths.isWithin(target, base)) {
    throw refusing(
      verb,
      `${path} is not inside the repository ${baseRepo}; session worktrees are only created and removed under <repository>/.claude/worktrees`,
    );
  }
  const above = componentsOf(relative(base, target)).slice(0, -1);
  for (let at = base; above.length > 0; ) {
    at = join(at, above.shift() ?? '');
    const found = await entryAt(at);
    if (found === undefined) {
      return;
    }
    if (found.isSymbolicLink()) {
      throw symlinked(verb, at);
    }
  }
}

/**
 * Creates the missing folders above the worktree (0755) and the worktree's own, empty (0777, both less umask). Each one
 * is made inside the folder that was opened before, so nobody can lead the way out by swapping one for a link.
 * @throws WorktreeFailure
 */
export async function createContained(path: string, baseRepo: string, services: GitServices): Promise<void> {
  const { paths } = services.platform;
  const base = resolve(baseRepo);
  const target = paths.clean(path);
  const names = componentsOf(relative(base, target));
  const leaf = names.pop() ?? '';
  let folder = await services.platform.files.openFolder(await realpath(base)).catch(() => {
    throw noParent(`${base} is not a directory`);
  });
  try {
    let at = base;
    for (const name of names) {
      at = join(at, name);
      const inner = await openOrCreate(folder, name, at);
      await folder.close();
      folder = inner;
    }
    await createLeaf(folder, leaf, path, services);
  } finally {
    await folder.close();
  }
}

/** A new worktree never goes where something is. @throws WorktreeFailure */
export async function refuseExisting(path: string, services: GitServices): Promise<void> {
  const found = await entryAt(services.platform.paths.clean(path));
  if (found !== undefined) {
    throw await exists(path, services);
  }
}

/** Makes the worktree's own folder. @throws WorktreeFailure */
export async function createLeaf(
  folder: FolderHandle,
  name: string,
  path: string,
  services: GitServices,
): Promise<void> {
  try {
    await folder.createFolder(Buffer.from(name), 0o777);
  } catch (error) {
    if ((error as SystemCallError).code === 'EEXIST') {
      throw await exists(path, services);
    }
    throw noParent((error as Error).message);
  }
}

/** The path with the folder above it as it really is. */
export async function withRealParent(path: string): Promise<string> {
  const parent = dirname(resolve(path));
  return join(await realpath(parent).catch(() => parent), basename(path));
}

async function exists(path: string, services: GitServices): Promise<WorktreeFailure> {
  const shown = services.profile.git.create.registrationTests ? await withRealParent(path) : path;
  return refusing('create', `${shown} already exists, and a new worktree is only ever created in a fresh directory`);
}

async function openOrCreate(folder: FolderHandle, name: string, path: string): Promise<FolderHandle> {
  const bytes = Buffer.from(name);
  for (;;) {
    try {
      return await folder.openFolder(bytes);
    } catch (error) {
      const { code, message } = error as SystemCallError;
      if (code === 'ENOTDIR' || code === 'ELOOP') {
        throw await inTheWay(path);
      }
      if (code !== 'ENOENT') {
        throw noParent(message);
      }
    }
    try {
      await folder.createFolder(bytes, 0o755);
    } catch (error) {
      // Somebody else was faster: look at what they made.
      if ((error as SystemCallError).code !== 'EEXIST') {
        throw noParent((error as Error).message);
      }
    }
  }
}

async function inTheWay(path: string): Promise<WorktreeFailure> {
  const found = await entryAt(path);
  return found?.isSymbolicLink() ? symlinked('create', path) : noParent(`${path} is not a directory`);
}

function symlinked(verb: Verb, component: string): WorktreeFailure {
  return refusing(
    verb,
    `${component} is a symbolic link; a symlinked .claude or .claude/worktrees inside the repository is not supported for SSH sessions, because a repository can plant such a link and a planted one cannot reliably be told apart from your own. Replace it with a real directory (or delete it and it will be recreated)`,
    'symlinked_component',
  );
}
