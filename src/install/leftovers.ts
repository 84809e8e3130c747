/**
 * Clears the folder of the versions: of what earlier attempts have left, and of old versions (spec install.md §5,
 * generation-n2.md §9).
 */
import { lstat, readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type GuardedPlaces, whyKept } from '../../platform/common/removal-guard.ts';
import type { InstallRules } from '../wire/profile.ts';
import { blobPrefix } from './cli-path.ts';
import { type FileIdentity, isSameFile } from './file-identity.ts';

export const stagingPrefix = '.fetch-';

export interface HousekeepingOptions {
  readonly places: GuardedPlaces;
  readonly partFiles: InstallRules['partFiles'];
}

export interface SweepOptions extends HousekeepingOptions {
  readonly ageMs: number;
  readonly spared: FileIdentity | undefined;
}

interface Entry extends FileIdentity {
  readonly name: string;
  readonly path: string;
  readonly isDirectory: boolean;
  readonly modifiedNs: bigint;
}

/**
 * Removes leftovers that are older than `ageMs`: files, links, empty folders.
 * @param options.spared the blob of this run, which must stay until it is used
 */
export function sweep(folder: string, options: SweepOptions): Promise<void> {
  return removeOlder(folder, (name) => kindOf(name, options) === 'leftover', options);
}

/** The same for `.zst.part` files in profiles where they have a sweep of their own. */
export function sweepPartFiles(folder: string, options: SweepOptions): Promise<void> {
  return removeOlder(folder, (name) => kindOf(name, options) === 'partFile', options);
}

async function removeOlder(folder: string, isMeant: (name: string) => boolean, options: SweepOptions): Promise<void> {
  const newest = BigInt(Date.now() - options.ageMs) * 1_000_000n;
  for (const entry of await entriesOf(folder)) {
    if (!isMeant(entry.name) || entry.modifiedNs >= newest) {
      continue;
    }
    if (options.spared !== undefined && isSameFile(options.spared, entry)) {
      continue;
    }
    await removePlainly(entry, options);
  }
}

/**
 * Removes all but the `keep` newest versions.
 * @param options.foldersToo whether folders count as versions. If so, `keep` 0 removes every version; if not, it removes none
 * @param options.installed the version that is never removed, however old it looks
 */
export async function prune(
  folder: string,
  keep: number,
  options: HousekeepingOptions & { readonly foldersToo: boolean; readonly installed: string },
): Promise<void> {
  if (keep < 0 || (keep === 0 && !options.foldersToo)) {
    return;
  }
  const installed = await lstat(options.installed, { bigint: true }).catch(() => undefined);
  const versions = (await entriesOf(folder))
    .filter(({ name }) => !name.startsWith(blobPrefix) && kindOf(name, options) === 'version')
    .filter(({ isDirectory }) => options.foldersToo || !isDirectory)
    .sort(newestFirst);
  for (const entry of versions.slice(keep)) {
    if (isSameFile(installed, entry)) {
      continue;
    }
    await removePlainly(entry, options);
  }
}

/** Of equal times the greater name goes first, so that it does not depend on the disk which version stays. */
function newestFirst(a: Entry, b: Entry): number {
  if (a.modifiedNs !== b.modifiedNs) {
    return a.modifiedNs < b.modifiedNs ? 1 : -1;
  }
  return Buffer.compare(Buffer.from(b.name), Buffer.from(a.name));
}

/** The ending of a part file counts more than its beginning, where such files have a sweep of their own. */
function kindOf(name: string, { partFiles }: HousekeepingOptions): 'version' | 'leftover' | 'partFile' {
  const isPartFile = name.endsWith('.zst.part');
  if (isPartFile && partFiles === 'ownSweep') {
    return 'partFile';
  }
  const isLeftover =
    name.startsWith(stagingPrefix) || name.endsWith('.zst') || (isPartFile && partFiles === 'leftovers');
  return isLeftover ? 'leftover' : 'version';
}

async function entriesOf(folder: string): Promise<Entry[]> {
  const names = await readdir(folder).catch(() => []);
  const entries: Entry[] = [];
  for (const name of names) {
    const path = join(folder, name);
    // An entry that is gone by now, or cannot be looked at, is not cleared.
    const found = await lstat(path, { bigint: true }).catch(() => undefined);
    if (found === undefined) {
      continue;
    }
    entries.push({
      name,
      path,
      isDirectory: found.isDirectory(),
      modifiedNs: found.mtimeNs,
      dev: found.dev,
      ino: found.ino,
    });
  }
  return entries;
}

/** Removes one entry and never a tree, so a folder that is not empty stays. */
async function removePlainly({ path, isDirectory }: Entry, { places }: HousekeepingOptions): Promise<void> {
  if ((await whyKept(path, places)) !== undefined) {
    return;
  }
  await (isDirectory ? rmdir(path) : unlink(path)).catch(() => {});
}
