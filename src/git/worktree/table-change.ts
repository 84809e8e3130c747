/** A branch of a repository that keeps its refs in tables (git's Documentation/technical/reftable). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FolderHandle } from '../../../platform/files.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { notRun } from '../run/git-program.ts';
import { ownTables, tablesIn } from '../run/private-refs.ts';
import type { Repository } from '../run/repository.ts';
import { codeOf, HeldLock, refPatienceMs, writeNew } from './held-folders.ts';
import { linkOnTheWayText } from './held-way.ts';
import { meeting } from './obstacle.ts';

/** What a change is made in. */
export interface ChangePlace {
  /** The common directory of the repository, and the same held open. */
  readonly real: string;
  readonly common: FolderHandle;
  /** Our own one. */
  readonly made: string;
}

const folderName = 'reftable';
const listName = 'tables.list';
/** Of a list, which has some thirty lines at most. */
const listBytes = 65_536;

/**
 * git adds tables to a list of our own. The new ones are put beside those of the repository, and then the list takes the place
 * of the real one, whose lock is held from the first look at it.
 * @returns and throws as `changeBranch`
 */
export async function changeTables(
  repository: Repository,
  { real, common, made }: ChangePlace,
  call: () => Promise<CommandResult>,
): Promise<CommandResult> {
  const ours = join(made, folderName, listName);
  let folder: FolderHandle;
  try {
    folder = await common.openFolder(Buffer.from(folderName));
  } catch (error) {
    return notRun(codeOf(error) === 'ENOTDIR' ? linkOnTheWayText(join(real, folderName)) : (error as Error).message);
  }
  try {
    const lock = await HeldLock.take(folder, listName, { patienceMs: refPatienceMs }).catch((error: unknown) => ({
      error,
    }));
    try {
      const before = await folder.readFile(Buffer.from(listName), listBytes);
      await ownTables(before, real, made, repository.program.services.platform.git);
      if ('error' in lock) {
        return await meeting(lock.error, ours, call);
      }
      const result = await call();
      if (result.failure === undefined) {
        await keepTables({ folder, lock, before }, join(made, folderName));
      }
      return result;
    } finally {
      if (!('error' in lock)) {
        await lock[Symbol.asyncDispose]();
      }
    }
  } finally {
    await folder.close();
  }
}

interface HeldTables {
  readonly folder: FolderHandle;
  readonly lock: HeldLock;
  /** The list as it was. */
  readonly before: Buffer;
}

/** @throws SystemCallError; then the list is as it was */
async function keepTables({ folder, lock, before }: HeldTables, made: string): Promise<void> {
  const list = await readFile(join(made, listName));
  if (list.equals(before)) {
    return;
  }
  const old = new Set(tablesIn(before));
  const kept: string[] = [];
  try {
    for (const name of tablesIn(list).filter((table) => !old.has(table))) {
      await writeNew(folder, name, await readFile(join(made, name)));
      kept.push(name);
    }
    await lock.replace(list);
  } catch (error) {
    for (const name of kept) {
      await folder.removeFile(Buffer.from(name)).catch(() => {});
    }
    throw error;
  }
}
