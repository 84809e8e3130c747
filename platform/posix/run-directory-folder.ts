/** Run directories that nobody uses any more, held open while they are judged and removed (platform/host-cleaning.ts). */
import fs, { constants, fstatSync, lstatSync, openSync, type Stats, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import * as libc from '../../native-bindings/libc.ts';
import { SystemCallError } from '../errors.ts';
import type { HeldRunDirectory, RunDirectoryFolder, SocketAnswer } from '../host-cleaning.ts';
import type { Paths } from '../paths.ts';
import type { Transport } from '../transport.ts';
import type { AtCalls } from './at-calls.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { errnoName } from './paths.ts';
import { peerCredentials } from './peer-credentials.ts';
import { removeTree } from './remove-tree.ts';

export interface RunDirectoryFolderOptions {
  readonly calls: AtCalls;
  readonly paths: Paths;
  readonly transport: Transport;
}

export class PosixRunDirectoryFolder implements RunDirectoryFolder {
  readonly #handle: DirectoryHandle;
  readonly #options: RunDirectoryFolderOptions;

  constructor(handle: DirectoryHandle, options: RunDirectoryFolderOptions) {
    this.#handle = handle;
    this.#options = options;
  }

  async names(): Promise<string[]> {
    return (await entriesOf(this.#handle)).map(({ name }) => name);
  }

  async hold(name: string): Promise<HeldRunDirectory | string | undefined> {
    let held: DirectoryHandle;
    try {
      held = DirectoryHandle.openPlain(this.#handle.at(name));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') {
        return undefined;
      }
      return code === 'ENOTDIR' || code === 'ELOOP' ? 'it is no folder' : this.#options.paths.reason(error);
    }
    const { uid } = fstatSync(held.fd);
    if (uid !== process.geteuid?.()) {
      held.close();
      return `it belongs to user ${uid}`;
    }
    try {
      return new PosixHeldRunDirectory(this.#handle, name, held, await entriesOf(held), this.#options);
    } catch (error) {
      held.close();
      return this.#options.paths.reason(error);
    }
  }

  close(): void {
    this.#handle.close();
  }
}

type Entry = HeldRunDirectory['entries'][number];

async function entriesOf(handle: DirectoryHandle): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of await fs.promises.opendir(handle.at('.'))) {
    entries.push({ name: entry.name, isSocket: entry.isSocket() });
  }
  return entries;
}

class PosixHeldRunDirectory implements HeldRunDirectory {
  readonly entries: readonly Entry[];
  readonly #parent: DirectoryHandle;
  readonly #handle: DirectoryHandle;
  readonly #options: RunDirectoryFolderOptions;
  readonly #found: Stats;
  #name: string;
  #lockFd: number | undefined;

  constructor(
    parent: DirectoryHandle,
    name: string,
    handle: DirectoryHandle,
    entries: readonly Entry[],
    options: RunDirectoryFolderOptions,
  ) {
    this.#parent = parent;
    this.#name = name;
    this.#handle = handle;
    this.#found = fstatSync(handle.fd);
    this.#options = options;
    this.entries = entries;
  }

  async latestChangeMs(): Promise<number> {
    let latest = changed(fstatSync(this.#handle.fd));
    for (const { name } of await entriesOf(this.#handle)) {
      try {
        latest = Math.max(latest, changed(await fs.promises.lstat(this.#handle.at(name))));
      } catch (error) {
        // It went meanwhile, so somebody is there.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
          return Date.now();
        }
        throw error;
      }
    }
    return latest;
  }

  is(path: string): boolean {
    try {
      return this.#isThis(statSync(path));
    } catch {
      // A path of somebody else's that we cannot follow does not lead to a folder of ours that we can.
      return false;
    }
  }

  async ask(name: string, timeoutMs: number): Promise<SocketAnswer> {
    let socket: Socket;
    try {
      socket = await this.#options.transport.dial(this.#handle.at(name), { timeoutMs, paused: true });
    } catch (error) {
      const { code } = error as SystemCallError;
      // A file that is no socket refuses as well.
      if (code === 'ENOENT' || code === 'ECONNREFUSED') {
        return { state: 'nobody' };
      }
      return { state: 'unclear', reason: this.#options.paths.reason(error) };
    }
    const { pid = 0 } = peerCredentials(socket) ?? {};
    socket.on('error', () => {});
    socket.destroy();
    return { state: 'listener', pid: pid > 0 ? pid : undefined };
  }

  claim(lockName: string): string | undefined {
    const refusal = this.#claim(lockName);
    if (refusal !== undefined) {
      this.release();
    }
    return refusal;
  }

  release(): void {
    libc.flock(this.#handle.fd, libc.LOCK_UN);
    if (this.#lockFd !== undefined) {
      libc.close(this.#lockFd);
    }
    this.#lockFd = undefined;
  }

  #claim(lockName: string): string | undefined {
    // What `exclusively` of `PosixRunDirectory` holds at the start and the end of a daemon.
    if (libc.flock(this.#handle.fd, libc.LOCK_EX | libc.LOCK_NB) !== 0) {
      return 'a daemon is starting or ending in it';
    }
    try {
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      this.#lockFd = openSync(this.#handle.at(lockName), flags);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'ENOENT' ? undefined : `its ${lockName} cannot be read (${this.#options.paths.reason(error)})`;
    }
    if (!fstatSync(this.#lockFd).isFile()) {
      return `its ${lockName} is not a regular file`;
    }
    if (libc.flock(this.#lockFd, libc.LOCK_EX | libc.LOCK_NB) === 0) {
      return undefined;
    }
    const failure = errnoName(libc.errno());
    return failure === 'EAGAIN' || failure === 'EWOULDBLOCK'
      ? 'its lock is held'
      : `its lock cannot be taken (${this.#options.paths.reasonForCode(failure)})`;
  }

  async rename(to: string): Promise<void> {
    const { calls } = this.#options;
    const [from, target] = [Buffer.from(this.#name), Buffer.from(to)];
    this.#requireSame(this.#name);
    await calls.rename(this.#parent.fd, from, this.#parent.fd, target);
    this.#name = to;
    // Whoever changed the name between the look and the call gets back what is theirs.
    if (!this.#leadsHere(to)) {
      await calls.rename(this.#parent.fd, target, this.#parent.fd, from);
    }
    this.#requireSame(to);
  }

  async remove(): Promise<void> {
    this.#requireSame(this.#name);
    const { calls, paths } = this.#options;
    await removeTree(calls, paths, this.#parent.fd, Buffer.from(this.#name), `${this.#parent.path}/${this.#name}`);
  }

  close(): void {
    this.release();
    this.#handle.close();
  }

  #requireSame(name: string): void {
    if (this.#leadsHere(name)) {
      return;
    }
    throw new SystemCallError(`${this.#parent.path}/${name} is another folder by now`, 'ESTALE');
  }

  #leadsHere(name: string): boolean {
    const found = lstatSync(this.#parent.at(name), { throwIfNoEntry: false });
    return found !== undefined && this.#isThis(found);
  }

  /** The open descriptor keeps the inode from being given to another folder. */
  #isThis(found: Stats): boolean {
    return found.dev === this.#found.dev && found.ino === this.#found.ino;
  }
}

/** A change of the name, owner or mode counts as well: whoever made it had a use for the folder. */
function changed({ mtimeMs, ctimeMs }: Stats): number {
  return Math.max(mtimeMs, ctimeMs);
}
