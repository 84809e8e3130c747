/** Session worktrees lie below their repository, reached without links (spec git.md §6.2). */
import { realpath } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import { componentsOf } from '../query/path-components.ts';
import { entryAt } from '../run/control-files.ts';
import type { GitServices } from '../run/services.ts';
import { noParent, refusing, type WorktreeFailure, type WorktreeVerb } from './failures.ts';
import { createLeaf } from './fresh-folder.ts';
import { checkSpelling } from './spelling.ts';

/**
 * The path is well spelled, lies in the repository, and no folder on the way to it is a symbolic link.
 * @param path as sent, after tilde; not empty
 * @throws WorktreeFailure
 */
export async function checkContained(
  verb: WorktreeVerb,
  path: string,
  baseRepo: string,
  services: GitServices,
): Promise<void> {
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
  let at = base;
  for (const name of componentsOf(relative(base, target)).slice(0, -1)) {
    at = join(at, name);
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
 * Creates the missing folders above the worktree (0755) and the worktree's own folder, empty (0777, both less umask). Each
 * folder is made inside the folder that was opened before, so swapping one of them for a link does not lead elsewhere.
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
      // Another process has made it meanwhile, so try to open it again.
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

function symlinked(verb: WorktreeVerb, component: string): WorktreeFailure {
  return refusing(
    verb,
    `${component} is a symbolic link; a symlinked .claude or .claude/worktrees inside the repository is not supported for SSH sessions, because a repository can plant such a link and a planted one cannot reliably be told apart from your own. Replace it with a real directory (or delete it and it will be recreated)`,
    'symlinked_component',
  );
}
