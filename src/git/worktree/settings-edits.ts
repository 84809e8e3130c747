/**
 * Changes of the repository's configuration that go with a branch or a worktree. git makes them in our private copy; here they
 * are made in the real file, in the way git does it: through `config.lock`, which then takes the file's place.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Setting } from '../run/configuration-file.ts';
import { openRegular, readSmallFile, smallFileBytes } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';
import { readSettings } from '../run/repository-settings.ts';
import { HeldLock, inFolder } from './held-folders.ts';

/** After a branch was deleted: its section goes too. Best effort. */
export async function dropBranchSettings(repository: Repository, branch: string): Promise<void> {
  const section = `branch.${Buffer.from(branch).toString('latin1')}.`;
  if (repository.settings.some(({ key }) => key.startsWith(section))) {
    await edit(repository, [['--remove-section', `branch.${branch}`]]).catch(() => {});
  }
}

/**
 * After `git worktree add`: what git has set for the new branch, and that worktrees are recorded by relative paths. Best
 * effort.
 */
export async function keepNewSettings(repository: Repository, branch: string): Promise<void> {
  const { paths } = repository.program.services.platform;
  const made = await readSettings(
    join((await repository.privateDirectories({ changes: true })).commonDirectory, 'config'),
    paths,
  );
  if (!('settings' in made)) {
    return;
  }
  const section = `branch.${Buffer.from(branch).toString('latin1')}.`;
  const last = (settings: readonly Setting[], key: string) =>
    settings.findLast((setting) => setting.key === key)?.value;
  const edits: string[][] = [];
  for (const key of new Set(made.settings.map((setting) => setting.key))) {
    const mayChange =
      key.startsWith(section) || key === 'extensions.relativeworktrees' || key === 'core.repositoryformatversion';
    const value = last(made.settings, key);
    if (mayChange && value !== undefined && value !== last(repository.settings, key)) {
      edits.push([utf8(key), utf8(value)]);
    }
  }
  if (edits.length > 0) {
    await edit(repository, edits).catch(() => {});
  }
}

function utf8(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}

/** @param edits arguments of `git config --file <file>`, one after the other */
async function edit(repository: Repository, edits: readonly (readonly string[])[]): Promise<void> {
  const commonDirectory = repository.found?.commonDirectory;
  if (commonDirectory === undefined) {
    return;
  }
  const { files, paths } = repository.program.services.platform;
  // A link is left alone: it leads to a file of another place.
  const opened = await openRegular(join(commonDirectory, name), paths);
  if (opened.state !== 'open') {
    return;
  }
  await opened.file.close();
  const mode = opened.status.mode & 0o777;
  await inFolder(files, commonDirectory, [], async (common) => {
    const lock = await HeldLock.take(common, name, { mode });
    try {
      const content = await common.readFile(Buffer.from(name), smallFileBytes);
      const edited = await editCopy(repository, content, edits);
      if (edited !== undefined) {
        await lock.replace(edited);
      }
    } finally {
      await lock[Symbol.asyncDispose]();
    }
  });
}

const name = 'config';

/** @returns `undefined` when git refuses an edit */
function editCopy(
  repository: Repository,
  content: Buffer,
  edits: readonly (readonly string[])[],
): Promise<Buffer | undefined> {
  return repository.program.temporaryFolders.with(async (folder) => {
    const copy = join(folder, name);
    await writeFile(copy, content, { flag: 'wx', mode: 0o600 });
    for (const words of edits) {
      if (!(await repository.test(['config', '--file', copy, ...words]))) {
        return undefined;
      }
    }
    const edited = await readSmallFile(copy, repository.program.services.platform.paths);
    return edited.state === 'read' ? edited.bytes : undefined;
  });
}
