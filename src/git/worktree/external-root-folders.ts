/** Makes the folders of a worktree outside its repository: `<root>/<directory>/<name>`, and the marker in `<directory>` (spec git.md §6.3). */
import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import { markerName } from '../query/managed-place.ts';
import type { GitServices } from '../run/services.ts';
import { checkDirectoryLink, type ExternalPath, levelsOf } from './external-root.ts';
import { noParent } from './failures.ts';
import { createLeaf } from './fresh-folder.ts';

/** The marker lies beside the worktrees, so that the folder can be recognised later. 285 bytes. */
const markerText = `This directory holds git worktrees that a remote session daemon created for its sessions.
The daemon adds and removes the directories beside this file; do not keep other work here.
Deleting this file makes the daemon refuse to add new worktrees while other files remain in the folder.
`;

/** Makes the missing folders (0700), the marker and the worktree's own folder. @throws WorktreeFailure */
export async function createExternal(external: ExternalPath, services: GitServices): Promise<void> {
  const { files, paths } = services.platform;
  const root = paths.clean(external.root);
  const names = levelsOf(external, services);
  if (names === undefined) {
    throw new Error('createExternal before checkExternalSpelling');
  }
  try {
    await (await files.createFolders(root)).close();
  } catch (error) {
    if ((error as SystemCallError).code !== 'EEXIST') {
      throw noParent(`mkdirat ${basename(root)}: ${paths.reason(error)}`);
    }
  }
  const top = await files.openFolder(await realpath(root)).catch((error: Error) => {
    throw noParent(error.message);
  });
  try {
    const [directory, leaf] = names;
    const path = join(root, directory);
    await top.createFolder(Buffer.from(directory)).catch((error: SystemCallError) => {
      if (error.code !== 'EEXIST') {
        throw noParent(error.message);
      }
    });
    const folder = await top.openFolder(Buffer.from(directory)).catch(async (error: SystemCallError) => {
      await checkDirectoryLink('create', path);
      throw noParent(error.code === 'ENOTDIR' ? `${path} is not a directory` : error.message);
    });
    try {
      await mark(folder, path);
      await createLeaf(folder, leaf, external.path, services);
    } finally {
      await folder.close();
    }
  } finally {
    await top.close();
  }
}

async function mark(folder: FolderHandle, path: string): Promise<void> {
  try {
    const marker = await folder.createFile(Buffer.from(markerName), 0o644, 'new');
    try {
      await marker.write(Buffer.from(markerText));
    } finally {
      await marker.close();
    }
  } catch (error) {
    const { code, message } = error as SystemCallError;
    if (code === 'EEXIST') {
      return;
    }
    const reason = message.replace(/^.*?: /s, '');
    throw noParent(`cannot mark ${path} as a worktree location: openat ${markerName}: ${reason}`);
  }
}
