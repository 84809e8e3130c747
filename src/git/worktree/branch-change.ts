/**
 * A branch is made or deleted by git in refs of our own (src/git/run/private-refs.ts), and the outcome taken to the repository
 * through folders that are held open. Meanwhile the locks of the repository are held which git itself would hold, so that no
 * other git changes the branch, and the outcome appears at once or not at all.
 */
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FolderHandle } from '../../../platform/files.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { entryAt } from '../run/control-files.ts';
import { LimitReached } from '../run/failures.ts';
import { notRun } from '../run/git-program.ts';
import { lineOf } from '../run/output-text.ts';
import { ownWayTo } from '../run/private-refs.ts';
import type { Repository } from '../run/repository.ts';
import { isBranchName } from './branch-name.ts';
import { codeOf, HeldLock, refPatienceMs } from './held-folders.ts';
import { HeldWay, removeEmptyFolders } from './held-way.ts';
import { meeting } from './obstacle.ts';
import { type ChangePlace, changeTables } from './table-change.ts';

export interface BranchChange {
  /** As git is given it. */
  readonly branch: string;
  readonly change: 'make' | 'delete';
}

/** git's own patience with another process that has the list of packed refs (git-config(1), core.packedRefsTimeout). */
const packedPatienceMs = 1_000;

/** The most that is read of a list of packed refs: some millions. */
const packedBytes = 268_435_456;

/**
 * @param call runs git, which makes or deletes this branch and no other one. The name is the one to be given to git where no
 * text of git is shown: among refs of our own, git knows no history of what was checked out.
 * @returns the result of the call, or why it was not made
 * @throws LimitReached; Node's error when a folder of ours cannot be made; SystemCallError when git is done and the outcome
 * cannot be taken to the repository
 */
export async function changeBranch(
  repository: Repository,
  { branch, change }: BranchChange,
  call: (name: string) => Promise<CommandResult>,
): Promise<CommandResult> {
  const real = repository.found?.commonDirectory;
  const name = real === undefined ? undefined : await nameOf(repository, branch);
  if (real === undefined || name === undefined) {
    // git will say why there is no such branch.
    return call(branch);
  }
  const { commonDirectory: made } = await repository.privateDirectories({ changes: true });
  let common: FolderHandle;
  try {
    common = await repository.program.services.platform.files.openFolder(real);
  } catch (error) {
    return notRun((error as Error).message);
  }
  try {
    const place = { real, common, made };
    return keepsTables(repository)
      ? await changeTables(repository, place, () => call(name))
      : await changeFiles(repository, place, { branch: name, change }, () => call(name));
  } finally {
    await common.close();
  }
}

/** Whether the refs are in tables instead of files (git-config(1), extensions.refStorage). */
function keepsTables({ settings }: Repository): boolean {
  return settings.findLast(({ key }) => key === 'extensions.refstorage')?.value === 'reftable';
}

/** @returns `undefined` when git takes it for no name of a branch */
async function nameOf(repository: Repository, branch: string): Promise<string | undefined> {
  if (isBranchName(branch)) {
    return branch;
  }
  if (!branch.includes('@{')) {
    return undefined;
  }
  // A branch in relation to another one, such as the one that was checked out before.
  const asked = await repository.run(['check-ref-format', '--branch', branch]);
  return asked.failure === undefined && isBranchName(lineOf(asked)) ? lineOf(asked) : undefined;
}

async function changeFiles(
  repository: Repository,
  place: ChangePlace,
  { branch, change }: BranchChange,
  call: () => Promise<CommandResult>,
): Promise<CommandResult> {
  const { git: host } = repository.program.services.platform;
  const names = ['heads', ...branch.split('/')];
  const [leaf = ''] = names.slice(-1);
  const ours = join(place.made, 'refs', ...names);
  let way: HeldWay;
  try {
    way = await HeldWay.open(place.common, place.real, ['refs', ...names.slice(0, -1)]);
  } catch (error) {
    await ownWayTo(names, place.real, place.made, host);
    return meeting(error, ours, call);
  }
  let isMade = false;
  try {
    const lock = await HeldLock.take(way.last, leaf, { patienceMs: refPatienceMs }).catch((error: unknown) => ({
      error,
    }));
    await ownWayTo(names, place.real, place.made, host);
    if ('error' in lock) {
      return await meeting(lock.error, ours, call);
    }
    try {
      if (change === 'delete') {
        return await deleteFile(place, { folder: way.last, leaf, ours }, call);
      }
      const result = await call();
      // Where there is no commit yet, git makes a worktree without a branch.
      if (result.failure === undefined && (await entryAt(ours)) !== undefined) {
        await removeEmptyFolders(way.last, join(place.real, 'refs', ...names), leaf);
        await lock.replace(await readFile(ours));
        isMade = true;
      }
      return result;
    } finally {
      await lock[Symbol.asyncDispose]();
    }
  } finally {
    if (!isMade) {
      await way.removeEmpty();
    }
    await way.close();
  }
}

interface Leaf {
  /** The folder of the branch's file, held open, and the name of the file. */
  readonly folder: FolderHandle;
  readonly leaf: string;
  /** What stands for the file among our refs. */
  readonly ours: string;
}

/** The list of packed refs is changed first, as git does it: the branch must not come back in an older state. */
async function deleteFile(
  { real, common, made }: ChangePlace,
  { folder, leaf, ours }: Leaf,
  call: () => Promise<CommandResult>,
): Promise<CommandResult> {
  const name = 'packed-refs';
  const copy = join(made, name);
  const lock = await HeldLock.take(common, name, { patienceMs: packedPatienceMs }).catch((error: unknown) => ({
    error,
  }));
  if ('error' in lock) {
    return meeting(lock.error, copy, call);
  }
  try {
    let packed: Buffer | undefined;
    try {
      packed = await common.readFile(Buffer.from(name), packedBytes);
    } catch (error) {
      switch (codeOf(error)) {
        case 'ENOENT':
          break;
        case 'EFBIG':
          throw new LimitReached(
            `git not run: ${join(real, name)} is larger than ${packedBytes} bytes, the most that is read of it; delete refs that are not needed`,
          );
        default:
          return notRun((error as Error).message);
      }
    }
    await rm(copy, { force: true });
    if (packed !== undefined) {
      await writeFile(copy, packed, { flag: 'wx' });
    }
    const before = packed === undefined ? undefined : await stat(copy, { bigint: true });
    const result = await call();
    if (result.failure === undefined) {
      const after = await stat(copy, { bigint: true }).catch(() => undefined);
      if (after !== undefined && after.ino !== before?.ino) {
        await lock.replace(await readFile(copy));
      }
      if ((await entryAt(ours)) === undefined) {
        await folder.removeFile(Buffer.from(leaf));
      }
    }
    return result;
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}
