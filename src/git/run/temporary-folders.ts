/**
 * Folders of our own in the system's temporary folder, all in one that is known to be this daemon's by its name, so that a
 * later daemon can take away what one has left that was killed.
 *
 *     <temporary folder>/holdfast-git-<pid>_<boot and pid namespace>_<start>_<random>/
 *       <number>        for one piece of work, or kept for questions of the same kind (kept-directories.ts)
 */
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { lstat, mkdir, mkdtemp, opendir, readdir, realpath, rm, rmdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Platform } from '../../../platform/platform.ts';
import type { ProcessIdentity } from '../../../platform/processes.ts';

const prefix = 'holdfast-git-';
/** So many entries of the temporary folder are looked at for what others have left. */
const mostEntries = 10_000;
/** What a daemon of another boot or container has left cannot be told from what it still uses, but by its age. */
const abandonedAfterMs = 7 * 24 * 60 * 60_000;

type Owner = Pick<Platform, 'processes' | 'git'>;

interface Home {
  readonly path: string;
  readonly status: BigIntStats;
}

export class TemporaryFolders implements AsyncDisposable {
  readonly #otherPlace: string;
  readonly #owner: Owner;
  readonly #homes = new Set<string>();
  #home: Promise<Home> | undefined;
  #made = 0;
  #sweep: Promise<void> | undefined;

  /** @param otherPlace where folders are made when the system's temporary folder cannot be used; it may have been removed since our start */
  constructor(otherPlace: string, owner: Owner) {
    this.#otherPlace = otherPlace;
    this.#owner = owner;
  }

  /**
   * A new folder that only we may enter, for as long as the work takes.
   * @throws Node's error when no folder can be made
   */
  async with<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const folder = await this.make();
    try {
      return await work(folder);
    } finally {
      await this.remove(folder);
    }
  }

  /** A new folder that only we may enter. @throws Node's error when none can be made */
  async make(): Promise<string> {
    const known = this.#home;
    // Whoever tidies up the temporary folder may have removed ours, and then the name may be somebody else's.
    return (
      (known === undefined ? undefined : await this.#makeIn(await known).catch(() => undefined)) ??
      this.#makeInNewHome(known)
    );
  }

  async remove(folder: string): Promise<void> {
    await removeAll(folder).catch(() => rm(folder, { recursive: true, force: true }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sweep;
    await Promise.all([...this.#homes].map((home) => this.remove(home)));
  }

  async #makeInNewHome(known: Promise<Home> | undefined): Promise<string> {
    if (this.#home === known) {
      const making = this.#makeHome();
      this.#home = making;
      // The next one is to try again.
      making.catch(() => {
        this.#home = this.#home === making ? undefined : this.#home;
      });
    }
    const home = await (this.#home as Promise<Home>);
    const folder = await this.#makeIn(home);
    if (folder === undefined) {
      throw new Error(`${home.path} is not the folder any more that it was when it was made`);
    }
    return folder;
  }

  /** @returns `undefined` when the home is another folder by now. @throws Node's error */
  async #makeIn({ path, status }: Home): Promise<string | undefined> {
    this.#made++;
    // All are of one length, so that none is the beginning of another one.
    const folder = join(path, String(this.#made).padStart(12, '0'));
    await mkdir(folder, { mode: 0o700 });
    const now = await lstat(path, { bigint: true });
    return now.ino === status.ino && now.dev === status.dev ? folder : undefined;
  }

  async #makeHome(): Promise<Home> {
    const self = this.#owner.processes.self();
    const name = `${prefix}${nameOf(self)}_`;
    let made: string;
    try {
      made = await realpath(await mkdtemp(join(tmpdir(), name)));
    } catch (error) {
      // The first failure is the one to be told.
      made = await mkdtemp(join(this.#otherPlace, name)).then(
        (folder) => realpath(folder),
        () => {
          throw error;
        },
      );
    }
    this.#homes.add(made);
    this.#sweep ??= removeAbandoned(dirname(made), this.#owner).catch(() => {});
    return { path: made, status: await lstat(made, { bigint: true }) };
  }
}

/** Takes away what daemons have left that were killed. */
async function removeAbandoned(place: string, owner: Owner): Promise<void> {
  let looked = 0;
  for await (const { name } of await opendir(place, { bufferSize: 256 })) {
    looked++;
    if (looked > mostEntries) {
      return;
    }
    if (name.startsWith(prefix) && (await isAbandoned(join(place, name), name, owner))) {
      await removeAll(join(place, name)).catch(() => {});
    }
  }
}

async function isAbandoned(path: string, name: string, { processes, git }: Owner): Promise<boolean> {
  const [, pid = '', node] = /^(\d{1,10})_(\w{8})_\w{8}_\w+$/.exec(name.slice(prefix.length)) ?? [];
  const status = await lstat(path).catch(() => undefined);
  const isOurs = git.userId() === -1 || (status?.uid === git.userId() && (status.mode & 0o077) === 0);
  if (node === undefined || !status?.isDirectory() || !isOurs) {
    return false;
  }
  if (node !== digest(processes.self().node)) {
    return Date.now() - status.mtimeMs > abandonedAfterMs;
  }
  const found = processes.identify(Number(pid));
  return found === undefined || !name.startsWith(`${prefix}${nameOf(found)}_`);
}

function nameOf({ pid, start, node }: ProcessIdentity): string {
  return `${pid}_${digest(node)}_${digest(start)}`;
}

function digest(text = ''): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

/** So many entries are removed at the same time. */
const removedAtOnce = 32;

/** Takes half the system calls of Node's own removal, which looks at every entry by itself. @throws Node's error */
async function removeAll(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (let at = 0; at < entries.length; at += removedAtOnce) {
    await Promise.all(
      entries.slice(at, at + removedAtOnce).map((entry) => {
        const path = join(folder, entry.name);
        return entry.isDirectory() ? removeAll(path) : unlink(path);
      }),
    );
  }
  await rmdir(folder);
}
