/**
 * Common directories of ours that are kept between questions, because making and removing one takes as long as many a git.
 * One is lent again only for the very same repository path and the very same configuration, which is read from the repository
 * for every request: there is nothing here that could be out of date. Before that it is looked at whether it is still as we
 * made it.
 */
import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Platform } from '../../../platform/platform.ts';
import {
  type CommonDirectoryRequest,
  makeCommonDirectory,
  type PrivateDirectories,
  rareParts,
} from './private-common-directory.ts';
import type { TemporaryFolders } from './temporary-folders.ts';

/** So many are kept, with configurations of so many bytes in all; the one that was not asked for longest goes first. */
const most = { count: 16, bytes: 4_194_304 } as const;
/** One that is not asked for goes after so long, and one that is goes before anybody who tidies up comes by. */
const lifetimes = { unusedMs: 60_000, longestMs: 600_000 } as const;

export interface Lent {
  readonly directories: PrivateDirectories;
  /** The folder that the common directory is in. */
  readonly folder: string;
  /** Nothing works in it any more. */
  giveBack(): Promise<void> | void;
}

interface Kept {
  readonly key: string;
  readonly directories: PrivateDirectories;
  readonly folder: string;
  readonly bytes: number;
  readonly madeAt: number;
  readonly marks: string;
  users: number;
  isForgotten: boolean;
  expiry: NodeJS.Timeout | undefined;
}

export class KeptDirectories implements AsyncDisposable {
  readonly #folders: TemporaryFolders;
  readonly #platform: Pick<Platform, 'git' | 'paths'>;
  readonly #unusedMs: number;
  /** By what they were made from; the one that was lent last is behind. */
  readonly #kept = new Map<string, Kept>();
  readonly #removals = new Set<Promise<void>>();

  constructor(
    folders: TemporaryFolders,
    platform: Pick<Platform, 'git' | 'paths'>,
    { unusedMs = lifetimes.unusedMs }: { readonly unusedMs?: number } = {},
  ) {
    this.#folders = folders;
    this.#platform = platform;
    this.#unusedMs = unusedMs;
  }

  /** How many there are at the moment, without those in use that are not lent again. */
  get count(): number {
    return this.#kept.size;
  }

  /** @throws Node's error when none can be made */
  async lend(request: Pick<CommonDirectoryRequest, 'found' | 'configuration'>): Promise<Lent> {
    const key = keyOf(request);
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      kept.users++;
      if (await this.#isAsMade(kept, request)) {
        if (!kept.isForgotten) {
          this.#kept.delete(key);
          this.#kept.set(key, kept);
        }
        return this.#lent(kept);
      }
      this.#forget(kept);
      this.#giveBack(kept);
    }
    return this.#lent(await this.#make(key, request));
  }

  /** Those in use are removed with all other temporary folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const kept of [...this.#kept.values()]) {
      this.#forget(kept);
    }
    await Promise.all([...this.#removals]);
  }

  async #make(key: string, request: Pick<CommonDirectoryRequest, 'found' | 'configuration'>): Promise<Kept> {
    const folder = await this.#folders.make();
    let kept: Kept;
    try {
      const directories = await makeCommonDirectory(folder, { ...request, worktrees: undefined }, this.#platform);
      kept = {
        key,
        directories,
        folder,
        bytes: request.configuration.length,
        madeAt: performance.now(),
        marks: await marksOf(directories.commonDirectory),
        users: 1,
        isForgotten: false,
        expiry: undefined,
      };
    } catch (error) {
      await this.#folders.remove(folder).catch(() => {});
      throw error;
    }
    const other = this.#kept.get(key);
    if (other !== undefined) {
      // Two requests have made one at the same time.
      this.#forget(other);
    }
    this.#kept.set(key, kept);
    this.#forgetTheOldest();
    return kept;
  }

  #lent(kept: Kept): Lent {
    clearTimeout(kept.expiry);
    return { directories: kept.directories, folder: kept.folder, giveBack: () => this.#giveBack(kept) };
  }

  #giveBack(kept: Kept): void {
    kept.users--;
    if (kept.users > 0) {
      return;
    }
    if (kept.isForgotten) {
      this.#remove(kept);
    } else {
      clearTimeout(kept.expiry);
      kept.expiry = setTimeout(() => this.#forget(kept), this.#unusedMs).unref();
    }
  }

  async #isAsMade(kept: Kept, { found }: Pick<CommonDirectoryRequest, 'found'>): Promise<boolean> {
    if (performance.now() - kept.madeAt > lifetimes.longestMs) {
      return false;
    }
    const [marks, rare] = await Promise.all([
      marksOf(kept.directories.commonDirectory).catch(() => undefined),
      rareParts(found?.commonDirectory),
    ]);
    return marks === kept.marks && String(rare) === String(kept.directories.rare);
  }

  #forgetTheOldest(): void {
    let bytes = [...this.#kept.values()].reduce((sum, kept) => sum + kept.bytes, 0);
    for (const kept of [...this.#kept.values()]) {
      if (this.#kept.size <= most.count && bytes <= most.bytes) {
        return;
      }
      bytes -= kept.bytes;
      this.#forget(kept);
    }
  }

  /** It is not lent again, and removed when nobody uses it any more. */
  #forget(kept: Kept): void {
    if (kept.isForgotten) {
      return;
    }
    kept.isForgotten = true;
    clearTimeout(kept.expiry);
    this.#kept.delete(kept.key);
    if (kept.users === 0) {
      this.#remove(kept);
    }
  }

  #remove({ folder }: Kept): void {
    const removal = this.#folders.remove(folder).catch(() => {});
    this.#removals.add(removal);
    removal.finally(() => this.#removals.delete(removal));
  }
}

function keyOf({ found, configuration }: Pick<CommonDirectoryRequest, 'found' | 'configuration'>): string {
  const digest = createHash('sha256').update(configuration, 'latin1').digest('base64');
  return `${digest} ${found?.commonDirectory ?? ''}`;
}

/**
 * Nobody can change the folder, what is in it, or the configuration, without these changing too: an entry that comes, goes or
 * is replaced changes the times of the folder, and a link cannot be changed in its place.
 * @throws Node's error when one of them is gone
 */
async function marksOf(commonDirectory: string): Promise<string> {
  const all = await Promise.all([
    lstat(dirname(commonDirectory), { bigint: true }),
    lstat(commonDirectory, { bigint: true }),
    lstat(join(commonDirectory, 'config'), { bigint: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') {
        return undefined;
      }
      throw error;
    }),
  ]);
  return all
    .map((status) => status && [status.dev, status.ino, status.mode, status.size, status.mtimeNs, status.ctimeNs])
    .join(' ');
}
