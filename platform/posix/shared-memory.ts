/** Shared memory of Linux: a file without a name (memfd_create), mapped by both sides. macOS has no such file. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { SystemCallError } from '../errors.ts';
import type { ReadMemory, SharedMemory, WrittenMemory } from '../shared-memory.ts';

/** Shows up in `/proc/<pid>/maps`. */
const name = 'holdfast-frames';
/** MAP_FAILED. */
const failed = 2n ** 64n - 1n;

interface Mapping {
  readonly address: bigint;
  readonly bytes: number;
}

/** Mappings whose buffers nobody holds any more are undone. */
const forgotten = new FinalizationRegistry<Mapping>(({ address, bytes }) => libc.munmap?.(address, bytes));

function failure(call: string): SystemCallError {
  const errno = libc.errno();
  return new SystemCallError(`${call}: errno ${errno}`, `E${errno}`);
}

function map(fd: number, index: number, bytes: number, protection: number): Mapping & { readonly memory: ArrayBuffer } {
  const address = libc.mmap?.(null, bytes, protection, libc.MAP_SHARED, fd, index * bytes) ?? failed;
  if (address === failed) {
    throw failure('mmap');
  }
  return { address, bytes, memory: libc.viewOf(address, bytes) };
}

class WrittenFile implements WrittenMemory {
  readonly address: string;
  readonly #fd: number;
  readonly #segmentBytes: number;
  #segments = 0;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    this.#fd = libc.memfd_create?.(name, libc.MFD_CLOEXEC | libc.MFD_ALLOW_SEALING) ?? -1;
    if (this.#fd < 0) {
      throw failure('memfd_create');
    }
    // Whoever has mapped it can rely on it: pages that went would end the reader with SIGBUS.
    if (libc.fcntl(this.#fd, libc.F_ADD_SEALS, libc.F_SEAL_SHRINK) < 0) {
      const error = failure('fcntl');
      closeSync(this.#fd);
      throw error;
    }
    this.address = String(this.#fd);
  }

  addSegment(): Buffer {
    ftruncateSync(this.#fd, (this.#segments + 1) * this.#segmentBytes);
    const { memory } = map(this.#fd, this.#segments, this.#segmentBytes, libc.PROT_READ | libc.PROT_WRITE);
    this.#segments++;
    return Buffer.from(memory);
  }

  discard(bytes: Buffer): void {
    // Refused where the pages of the system are larger than the piece; then the memory is kept.
    libc.madvise?.(libc.addressOf(bytes), BigInt(bytes.length), libc.MADV_REMOVE);
  }
}

class ReadFile implements ReadMemory {
  readonly #fd: number;
  readonly #segmentBytes: number;

  constructor(owner: number, address: string, segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    const path = `/proc/${owner}/fd/${address}`;
    if (!/^\d{1,9}$/.test(address)) {
      throw new SystemCallError(`open ${path}: no number of a descriptor`, 'EINVAL');
    }
    // Whatever it leads to is opened for reading, and nothing there is waited for.
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const seals = libc.fcntl(this.#fd, libc.F_GET_SEALS, 0);
    if (seals < 0 || (seals & libc.F_SEAL_SHRINK) === 0) {
      closeSync(this.#fd);
      throw new SystemCallError(`open ${path}: no memory that can be relied on`, 'EINVAL');
    }
  }

  segment(index: number): Buffer {
    const end = (index + 1) * this.#segmentBytes;
    if (!Number.isSafeInteger(index) || index < 0 || end > fstatSync(this.#fd).size) {
      throw new SystemCallError(`mmap: there is no segment ${index}`, 'EINVAL');
    }
    const { address, bytes, memory } = map(this.#fd, index, this.#segmentBytes, libc.PROT_READ);
    forgotten.register(memory, { address, bytes });
    return Buffer.from(memory);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export function createSharedMemory(): SharedMemory {
  return {
    create: (segmentBytes) => new WrittenFile(segmentBytes),
    open: (owner, address, segmentBytes) => new ReadFile(owner, address, segmentBytes),
  };
}
