/**
 * What must never be emptied or removed: the home folder, every folder that contains it, and a root (register entry D2 of
 * the specification's platform.md). One folder has many spellings, so folders are compared by what they are, not only by
 * how they are written: another case on a file system that folds it, a short name, a share of this host, a bind mount.
 */
import fs from 'node:fs';
import { resolve } from 'node:path';
import { SystemCallError } from '../errors.ts';
import type { Home } from '../home.ts';
import type { Paths } from '../paths.ts';

/** `spelling`: the system could read the path as another one than it looks. */
export type RemovalRefusal = 'spelling' | 'root' | 'home';

export interface FileNumbers {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** How the guard looks at the file system; every answer is `undefined` for what is not there or cannot be looked at. */
export interface Look {
  /** Of the entry itself: a link is the link. */
  entry(path: string): Promise<FileNumbers | undefined>;
  /** Of what the path leads to. */
  target(path: string): Promise<FileNumbers | undefined>;
  /** The path without links. */
  real(path: string): Promise<string | undefined>;
}

export interface GuardedPlaces {
  readonly paths: Paths;
  readonly host: Pick<Home, 'home'>;
  /** Default: at the disk. Tests put a file system in its place in which one folder has many names. */
  readonly look?: Look;
}

/**
 * Why the entry at `path` must stay; `undefined`: it may be removed. A link to a guarded folder may be removed, because
 * what it leads to stays; the home folder's own path may not, also when it is a link.
 * @param path absolute, or counted from this process's working directory
 */
export async function whyKept(
  path: string,
  { paths, host, look = onDisk }: GuardedPlaces,
): Promise<RemovalRefusal | undefined> {
  if (!paths.hasPlainSpelling(path)) {
    return 'spelling';
  }
  const cleaned = paths.clean(paths.isAbsolute(path) ? path : resolve(path));
  if (paths.isRoot(cleaned)) {
    return 'root';
  }
  const home = host.home();
  const homes = home === undefined ? [] : await spellingsOf(home, paths, look);
  if (homes.some((each) => paths.isWithin(each, cleaned))) {
    return 'home';
  }
  const found = await look.entry(cleaned);
  if (found === undefined) {
    return undefined;
  }
  for (const folder of new Set(homes.flatMap((each) => upwards(each, paths)))) {
    if (isSame(found, await look.entry(folder)) || isSame(found, await look.target(folder))) {
      return paths.isRoot(folder) ? 'root' : 'home';
    }
  }
  // Without a home folder there still is a root, and a bind mount or a share can give it another name.
  return isSame(found, await look.target(rootOf(cleaned, paths))) ? 'root' : undefined;
}

/**
 * The last line of defence, in front of every removal of a tree: whoever asks has his own words for what he refuses.
 * @throws SystemCallError `unlinkat <path>: operation not permitted`
 */
export async function assertMayGo(path: string, places: GuardedPlaces): Promise<void> {
  if ((await whyKept(path, places)) !== undefined) {
    throw new SystemCallError(`unlinkat ${path}: ${places.paths.reasonForCode('EPERM')}`, 'EPERM');
  }
}

/** The home folder as its variable spells it, and as it is without links. */
async function spellingsOf(home: string, paths: Paths, look: Look): Promise<string[]> {
  const given = paths.clean(paths.isAbsolute(home) ? home : resolve(home));
  const real = await look.real(given);
  return real === undefined || real === given ? [given] : [given, paths.clean(real)];
}

/** The folder and everything above it. */
function upwards(folder: string, paths: Paths): string[] {
  const found = [folder];
  for (let at = folder; !paths.isRoot(at); ) {
    at = paths.directoryOf(at);
    found.push(at);
  }
  return found;
}

function rootOf(path: string, paths: Paths): string {
  return upwards(path, paths).at(-1) ?? path;
}

function isSame(a: FileNumbers, b: FileNumbers | undefined): boolean {
  return b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

const onDisk: Look = {
  entry: (path) => fs.promises.lstat(path, { bigint: true }).catch(() => undefined),
  target: (path) => fs.promises.stat(path, { bigint: true }).catch(() => undefined),
  real: (path) => fs.promises.realpath(path).catch(() => undefined),
};
