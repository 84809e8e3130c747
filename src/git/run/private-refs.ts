/**
 * Refs of our own for a call that makes or deletes a branch. git writes a branch by its path, lock file first, so a folder on
 * the way that somebody swaps for a link would have git write elsewhere. Therefore the folders that git writes in are ours:
 *
 *     refs/<name>                 links to the real ones
 *     refs/heads/                 real folders along the way to the branch,
 *     refs/heads/<name>           and links to whatever else is in the real ones
 *
 * or, where refs are kept in tables:
 *
 *     reftable/<table>            links to the real ones, each with a lock, so that none is merged with others
 *     reftable/tables.list        a copy
 *
 * src/git/worktree/branch-change.ts takes what git has made of them to the repository.
 */
import { constants } from 'node:fs';
import { lstat, mkdir, open, opendir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { GitHost } from '../../../platform/git-host.ts';
import { entryAt, targetOf } from './control-files.ts';
import { LimitReached } from './failures.ts';

/** More branches than anybody has that are not packed. */
const mostEntries = 50_000;
const linkedAtOnce = 64;
/** More than there are in a branch. */
const branchBytes = 1_024;

export type Linking = Pick<GitHost, 'linkFolder' | 'linkFile'>;

/** Makes `<made>/refs`, in which only the folder of branches is no link. @throws Node's error, LimitReached */
export async function linkRefs(real: string, made: string, host: Linking): Promise<void> {
  const refs = join(real, 'refs');
  if (!(await entryAt(refs))?.isDirectory()) {
    await host.linkFolder(refs, join(made, 'refs'));
    return;
  }
  await mkdir(join(made, 'refs'));
  await linkEntries(refs, join(made, 'refs'), host);
  await ownFolder(join(refs, 'heads'), join(made, 'refs', 'heads'), host);
}

/**
 * Makes the folders on the way to a branch our own, and the branch itself what it is in the repository by now.
 * @param names of the folders and of the branch, below `refs`
 * @throws Node's error, LimitReached
 */
export async function ownWayTo(names: readonly string[], real: string, made: string, host: Linking): Promise<void> {
  let [from, to] = [join(real, 'refs'), join(made, 'refs')];
  await ownStep(from, to, host);
  for (const name of names.slice(0, -1)) {
    [from, to] = [join(from, name), join(to, name)];
    await ownStep(from, to, host);
  }
  if (!(await entryAt(to))?.isDirectory()) {
    // A branch is in the place of a folder, or there is no such folder yet.
    return;
  }
  const leaf = names.at(-1) ?? '';
  const [at, place] = [join(from, leaf), join(to, leaf)];
  await rm(place, { recursive: true, force: true });
  const found = await entryAt(at);
  if (found?.isDirectory()) {
    await copyFolder(at, place, host, { entries: 0 });
  } else if (found !== undefined) {
    await linkEntry(at, place, host);
  }
}

/**
 * One folder on the way to a branch: never a link, because git would write through it to whatever the real one has become by
 * then. What is no folder at the moment is made one by git, in our refs alone; a branch in its place stays in git's way.
 */
async function ownStep(real: string, made: string, host: Linking): Promise<void> {
  await ownFolder(real, made, host);
  if (!(await entryAt(made))?.isSymbolicLink()) {
    return;
  }
  const branch = await branchAt(real);
  await rm(made, { force: true });
  if (branch !== undefined) {
    await writeFile(made, branch);
  } else if (basename(made) === 'refs' || basename(made) === 'heads') {
    // Without them there is no repository for git.
    await mkdir(made);
  }
}

/** Content of a branch; `undefined` when there is none. No link is followed, a FIFO is not waited for. */
async function branchAt(path: string): Promise<Buffer | undefined> {
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  const file = await open(path, flags).catch(() => undefined);
  try {
    const { buffer, bytesRead } = (await file?.read(Buffer.alloc(branchBytes))) ?? { buffer: undefined, bytesRead: 0 };
    return buffer?.subarray(0, bytesRead);
  } catch {
    return undefined;
  } finally {
    await file?.close();
  }
}

/** Where our entry is a link, or missing, and the real one is a folder: a folder of links. */
async function ownFolder(real: string, made: string, host: Linking): Promise<void> {
  if ((await entryAt(made))?.isDirectory() || !(await entryAt(real))?.isDirectory()) {
    return;
  }
  await rm(made, { force: true });
  await mkdir(made);
  await linkEntries(real, made, host);
}

/** Folders all the way down, because git removes those that are empty where a branch is to be. */
async function copyFolder(real: string, made: string, host: Linking, count: { entries: number }): Promise<void> {
  await mkdir(made);
  for (const name of await namesIn(real)) {
    count.entries++;
    if (count.entries > mostEntries) {
      throw tooMany(real);
    }
    const at = join(real, name);
    const place = join(made, name);
    if ((await entryAt(at))?.isDirectory()) {
      await copyFolder(at, place, host, count);
    } else {
      await linkEntry(at, place, host);
    }
  }
}

async function linkEntries(real: string, made: string, host: Linking): Promise<void> {
  const names = await namesIn(real);
  for (let at = 0; at < names.length; at += linkedAtOnce) {
    await Promise.all(
      names.slice(at, at + linkedAtOnce).map((name) => linkEntry(join(real, name), join(made, name), host)),
    );
  }
}

async function linkEntry(real: string, made: string, host: Linking): Promise<void> {
  const found = await entryAt(real);
  if (found?.isSymbolicLink()) {
    const target = await readlink(real).catch(() => '');
    if (target.startsWith('refs/')) {
      // The old form of a ref that names another one.
      await symlink(target, made);
      return;
    }
  }
  const isFolder = (found?.isSymbolicLink() ? await targetOf(real) : found)?.isDirectory() === true;
  await (isFolder ? host.linkFolder(real, made) : host.linkFile(real, made));
}

/** Without lock files of others, which git does not take for branches. */
async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of await opendir(folder, { bufferSize: 1_024 })) {
    if (names.length === mostEntries) {
      throw tooMany(folder);
    }
    if (!name.endsWith('.lock')) {
      names.push(name);
    }
  }
  return names;
}

function tooMany(folder: string): LimitReached {
  return new LimitReached(
    `git not run: ${folder} has more than ${mostEntries} entries, the most that are looked at; pack the refs (git pack-refs --all)`,
  );
}

/**
 * Makes `<made>/reftable` a folder of our own.
 * @param list content of the real `tables.list`, read while its lock was held
 * @throws Node's error
 */
export async function ownTables(list: Buffer, real: string, made: string, host: Linking): Promise<void> {
  const folder = join(made, 'reftable');
  await rm(folder, { recursive: (await lstat(folder)).isDirectory() });
  await mkdir(folder);
  await writeFile(join(folder, 'tables.list'), list);
  for (const name of tablesIn(list)) {
    await host.linkFile(join(real, 'reftable', name), join(folder, name));
    await writeFile(join(folder, `${name}.lock`), '');
  }
}

/** Names of tables that a list names; what is no such name is left out. */
export function tablesIn(list: Buffer): string[] {
  return list
    .toString('latin1')
    .split('\n')
    .filter((name) => /^[\w-]+\.ref$/.test(name));
}
