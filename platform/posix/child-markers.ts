/** Finding marked children again, and ending their groups (spec platform.md §2 "Child markers, records, reap"). */
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { hostname } from 'node:os';
import * as libc from '../../native-bindings/libc.ts';
import type { ChildMarkers, HeldGroup, ProcessEvidence, RecordFolder } from '../child-markers.ts';
import type { SignalName } from '../processes.ts';
import { DirectoryHandle } from './directory-handle.ts';
import { type Identities, openPidfd, signalNumbers } from './identity.ts';
import { errnoName } from './paths.ts';
import { createEvidenceReader, type EvidenceReader } from './process-evidence.ts';
import { readUpTo, unlinkQuietly, writeNew } from './run-directory.ts';
import type { PosixSystem } from './system.ts';

export function createChildMarkers(os: PosixSystem, identities: Identities): ChildMarkers {
  const evidence = createEvidenceReader(os, identities);
  return {
    user: process.geteuid?.() ?? -1,
    host: os === 'linux' ? machineId() : hostname(),
    startOf: evidence.startOf,
    livingGroups: evidence.livingGroups,
    holdGroup: (pid) => new PosixGroup(pid, evidence),
    openRecords,
  };
}

/** Containers often have none. */
function machineId(): string {
  try {
    const id = readFileSync('/etc/machine-id', 'latin1').trim();
    return /^[0-9a-f]+$/.test(id) ? `machine-id:${id}` : '';
  } catch {
    return '';
  }
}

class PosixGroup implements HeldGroup {
  readonly #pid: number;
  readonly #evidence: EvidenceReader;
  /** Taken before anything is read: from then on it means one process and its group, also after that process is gone. */
  readonly #pidfd: number | undefined;

  constructor(pid: number, evidence: EvidenceReader) {
    this.#pid = pid;
    this.#evidence = evidence;
    this.#pidfd = openPidfd(pid);
  }

  leader(): ReturnType<HeldGroup['leader']> {
    return this.#evidence.of(this.#pid);
  }

  signal(name: SignalName, isOurs: (leader: ProcessEvidence) => boolean): 'sent' | 'gone' | 'refused' {
    if (this.#pidfd !== undefined) {
      const flag = libc.PIDFD_SIGNAL_PROCESS_GROUP;
      if (libc.syscall?.(libc.SYS_pidfd_send_signal, this.#pidfd, signalNumbers[name], 0, flag) === 0) {
        return 'sent';
      }
      const failure = errnoName(libc.errno());
      // EINVAL: the kernel does not know the flag yet.
      if (failure !== 'EINVAL') {
        return failure === 'ESRCH' ? 'gone' : 'refused';
      }
    }
    return this.#signalByNumber(name, isOurs);
  }

  /** Older kernels and macOS. The number of a group stays taken while it has members, so only its leader must be looked at. */
  #signalByNumber(name: SignalName, isOurs: (leader: ProcessEvidence) => boolean): 'sent' | 'gone' | 'refused' {
    const leader = this.leader();
    if (leader !== undefined && !isOurs(leader)) {
      return 'gone';
    }
    if (leader === undefined && !this.#evidence.livingGroups().has(this.#pid)) {
      return 'gone';
    }
    try {
      process.kill(-this.#pid, `SIG${name}`);
      return 'sent';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'gone' : 'refused';
    }
  }

  release(): void {
    if (this.#pidfd !== undefined) {
      libc.close(this.#pidfd);
    }
  }
}

function openRecords(
  runDirectory: string,
  name: string,
  { create }: { readonly create: boolean },
): RecordFolder | 'missing' | 'notADirectory' {
  const parent = DirectoryHandle.openTrusted(runDirectory);
  try {
    if (create) {
      makeFolder(parent.at(name));
    }
    return new PosixRecordFolder(DirectoryHandle.openPlain(parent.at(name)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      return 'missing';
    }
    if (code === 'ENOTDIR' || code === 'ELOOP') {
      return 'notADirectory';
    }
    throw error;
  } finally {
    parent.close();
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }
}

class PosixRecordFolder implements RecordFolder {
  readonly #handle: DirectoryHandle;

  constructor(handle: DirectoryHandle) {
    this.#handle = handle;
  }

  write(name: string, temporary: string, content: Buffer): void {
    const path = this.#handle.at(temporary);
    writeNew(path, content);
    try {
      renameSync(path, this.#handle.at(name));
    } catch (error) {
      unlinkQuietly(path);
      throw error;
    }
  }

  remove(name: string): boolean {
    try {
      unlinkSync(this.#handle.at(name));
      return true;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT';
    }
  }

  *names(): Iterable<string> {
    const directory = opendirSync(this.#handle.at('.'));
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        yield entry.name;
      }
    } finally {
      directory.closeSync();
    }
  }

  read(name: string, maxBytes: number): string | undefined {
    let fd: number | undefined;
    try {
      // Non-blocking, because a FIFO planted under the name would otherwise hold us up for ever.
      fd = openSync(this.#handle.at(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const found = fstatSync(fd);
      return found.isFile() && found.size <= maxBytes ? readUpTo(fd, maxBytes) : undefined;
    } catch {
      return undefined;
    } finally {
      if (fd !== undefined) {
        closeSync(fd);
      }
    }
  }

  close(): void {
    this.#handle.close();
  }
}
