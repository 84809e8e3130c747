/** Which daemon the verbs speak of: the process that `daemon.pid` names. */
import { lstatSync } from 'node:fs';
import type { Platform } from '../../../../platform/platform.ts';
import type { ProcessIdentity } from '../../../../platform/processes.ts';
import type { MeshFolders } from '../folders.ts';
import { openFolder } from '../open-folder.ts';
import { runningDaemon } from '../singleton-lock.ts';

/** Makes nothing: a user who has no daemon gets no folder for one. @throws MeshRefusal */
export async function findDaemon(
  folders: MeshFolders,
  { runDirectories, processes, transport }: Platform,
): Promise<ProcessIdentity | undefined> {
  if (lstatSync(folders.daemon, { throwIfNoEntry: false }) === undefined) {
    return undefined;
  }
  const directory = openFolder(folders.daemon, runDirectories);
  try {
    return await runningDaemon({ directory, socket: folders.socket, processes, transport });
  } finally {
    directory.close();
  }
}
