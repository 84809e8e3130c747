/**
 * Shared memory of Windows: sections without names, one a segment, and one more with the numbers of their handles. The reader takes
 * handles of its own out of the process that owns them, so it does not matter in which login session either of them runs.
 */
import type { Address, Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import * as memoryApi from '../../native-bindings/kernel32-memory.ts';
import type { Out } from '../../native-bindings/out.ts';
import { SystemCallError } from '../errors.ts';
import type { ReadMemory, SharedMemory, WrittenMemory } from '../shared-memory.ts';
import { opened } from './handles.ts';
import { ownerOnly } from './security.ts';
import { lastError } from './system-errors.ts';

/** The table of the handles: 8 bytes each, zero where there is no segment. */
const tableBytes = 64 * 1024;
const handleBytes = 8;
const mostSegments = tableBytes / handleBytes;

/** Views whose buffers nobody holds any more are undone. */
const forgotten = new FinalizationRegistry<Address>((address) => memoryApi.UnmapViewOfFile(address));

interface View {
  readonly address: Address;
  readonly memory: ArrayBuffer;
}

/** @throws WindowsError, also for a handle that is no section, and for one that is smaller */
function map(section: Handle, bytes: number, access: number): View {
  const address = memoryApi.MapViewOfFile(section, access, 0, 0, bytes);
  if (address === null) {
    throw lastError('MapViewOfFile');
  }
  return { address, memory: memoryApi.viewOf(address, bytes) };
}

/** @throws WindowsError */
function createSection(bytes: number): { readonly section: Handle; readonly buffer: Buffer } {
  const { INVALID_HANDLE_VALUE } = kernel32;
  const section = opened(
    memoryApi.CreateFileMappingW(INVALID_HANDLE_VALUE, ownerOnly(), memoryApi.PAGE_READWRITE, 0, bytes, null),
    'CreateFileMapping',
  );
  try {
    return { section, buffer: Buffer.from(map(section, bytes, memoryApi.FILE_MAP_WRITE).memory) };
  } catch (error) {
    kernel32.CloseHandle(section);
    throw error;
  }
}

class WrittenSections implements WrittenMemory {
  readonly address: string;
  readonly #table: Buffer;
  readonly #segmentBytes: number;
  #segments = 0;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    const { section, buffer } = createSection(tableBytes);
    this.#table = buffer;
    this.address = String(section);
  }

  addSegment(): Buffer {
    if (this.#segments === mostSegments) {
      throw new SystemCallError(`shared memory has ${mostSegments} segments, and no room for another one`, 'ENOMEM');
    }
    const { section, buffer } = createSection(this.#segmentBytes);
    this.#table.writeBigUInt64LE(section, this.#segments * handleBytes);
    this.#segments++;
    return buffer;
  }

  discard(bytes: Buffer): void {
    memoryApi.VirtualAlloc(kernel32.addressOf(bytes), bytes.length, memoryApi.MEM_RESET, memoryApi.PAGE_READWRITE);
  }
}

class ReadSections implements ReadMemory {
  /** As long as we hold it no other process has its number. */
  readonly #owner: Handle;
  readonly #segmentBytes: number;
  readonly #table: Buffer;

  constructor(owner: number, address: string, segmentBytes: number) {
    if (!/^\d{1,9}$/.test(address)) {
      throw new SystemCallError(`DuplicateHandle ${address}: no number of a handle`, 'EINVAL');
    }
    this.#segmentBytes = segmentBytes;
    this.#owner = opened(kernel32.OpenProcess(kernel32.PROCESS_DUP_HANDLE, 0, owner), `OpenProcess ${owner}`);
    try {
      this.#table = this.#read(BigInt(address) as Handle, tableBytes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  segment(index: number): Buffer {
    const isPossible = Number.isSafeInteger(index) && index >= 0 && index < mostSegments;
    const section = isPossible ? this.#table.readBigUInt64LE(index * handleBytes) : 0n;
    if (section === 0n) {
      throw new SystemCallError(`MapViewOfFile: there is no segment ${index}`, 'EINVAL');
    }
    return this.#read(section as Handle, this.#segmentBytes);
  }

  /** Whatever else the handle of the owner may be cannot be mapped. @throws WindowsError */
  #read(theirs: Handle, bytes: number): Buffer {
    const ours: Out<Handle | null> = [null];
    const self = kernel32.GetCurrentProcess();
    if (!kernel32.DuplicateHandle(this.#owner, theirs, self, ours, memoryApi.FILE_MAP_READ, 0, 0)) {
      throw lastError(`DuplicateHandle ${theirs}`);
    }
    const section = opened(ours[0], `DuplicateHandle ${theirs}`);
    try {
      const { address, memory } = map(section, bytes, memoryApi.FILE_MAP_READ);
      forgotten.register(memory, address);
      return Buffer.from(memory);
    } finally {
      kernel32.CloseHandle(section);
    }
  }

  close(): void {
    kernel32.CloseHandle(this.#owner);
  }
}

export function createSharedMemory(): SharedMemory {
  return {
    create: (segmentBytes) => new WrittenSections(segmentBytes),
    open: (owner, address, segmentBytes) => new ReadSections(owner, address, segmentBytes),
  };
}
