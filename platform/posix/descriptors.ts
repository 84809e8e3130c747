/** The descriptors of this process: which there are, and which of them the runtime has opened for itself. */
import { closeSync, constants, fstatSync, openSync, readdirSync, type Stats } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { HostError } from '../errors.ts';
import type { Paths } from '../paths.ts';

/** A number beyond is none to the system, and Node has words of its own for it. */
const largestDescriptor = 2 ** 31 - 1;
/** Numbers looked at in one call of poll(2). */
const polledAtOnce = 1024;
/** Where the limit is "unlimited": Linux allows no more than this by default, and nobody goes higher by accident. */
const mostPolled = 1 << 20;

/** Every open descriptor, those of the look itself possibly among them. */
export function openDescriptors(): number[] {
  try {
    return readdirSync('/dev/fd').map(Number);
  } catch {
    // A small /dev, no /proc behind it, or no descriptor left to read the folder with.
    return [...pollForDescriptors()];
  }
}

/** poll(2) needs no file system: it marks the numbers that are not open. */
function* pollForDescriptors(): Generator<number> {
  const limit = new BigUint64Array(2);
  const [soft = 0n] = libc.getrlimit(libc.RLIMIT_NOFILE, limit) === 0 ? limit : [];
  const end = soft < BigInt(mostPolled) ? Number(soft) : mostPolled;
  for (let first = 0; first < end; first += polledAtOnce) {
    const count = Math.min(polledAtOnce, end - first);
    const entries = new Int32Array(2 * count);
    for (let index = 0; index < count; index++) {
      entries[2 * index] = first + index;
    }
    if (libc.poll(entries, count, 0) < 0) {
      continue;
    }
    for (let index = 0; index < count; index++) {
      if ((((entries[2 * index + 1] ?? 0) >>> 16) & libc.POLLNVAL) === 0) {
        yield first + index;
      }
    }
  }
}

/**
 * Descriptors our own parent left open would live as long as the daemon and reach all its children: a pipe of an ssh
 * session among them keeps that session from ending.
 */
export function keepFromInheriting(): void {
  for (const fd of openDescriptors()) {
    if (fd > 2 && libc.fcntl(fd, libc.F_GETFD, 0) === 0) {
      libc.fcntl(fd, libc.F_SETFD, libc.FD_CLOEXEC);
    }
  }
}

/**
 * Whether nobody has handed a number to us: it is no descriptor, or the runtime has opened it for itself. Reading the
 * event descriptors and pipes of the runtime would wait for ever. Nobody hands over both ends of one pipe.
 */
export function isNotInherited(fd: number): boolean {
  const found = fd > largestDescriptor ? undefined : statOf(fd);
  if (found === undefined) {
    return true;
  }
  // Linux shows event descriptors and their like without a kind.
  if ((found.mode & constants.S_IFMT) === 0) {
    return true;
  }
  if (!found.isFIFO()) {
    return false;
  }
  return openDescriptors().some((other) => {
    const end = isWritable(other) ? statOf(other) : undefined;
    return end?.isFIFO() === true && end.dev === found.dev && end.ino === found.ino;
  });
}

function isWritable(fd: number): boolean {
  return (libc.fcntl(fd, libc.F_GETFL, 0) & libc.O_ACCMODE) !== constants.O_RDONLY;
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined;
  }
}

/**
 * For descriptors nothing was written through: the system lets go of them even where it reports a failure, so there is
 * nothing to do about one.
 */
export function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The descriptor is closed all the same.
  }
}

const nullDevice = '/dev/null';

/**
 * The null device, for standard streams that nobody reads or writes.
 * @throws HostError that says what is missing and how it is made
 */
export function openNullDevice(paths: Pick<Paths, 'reason'>): number {
  try {
    return openSync(nullDevice, constants.O_RDWR);
  } catch (error) {
    throw new HostError(
      `open ${nullDevice}: ${paths.reason(error)}`,
      `this host needs that device: mknod -m 666 ${nullDevice} c 1 3`,
      { cause: error },
    );
  }
}
