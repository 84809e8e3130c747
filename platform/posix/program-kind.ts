/**
 * What the kernel will do with a file. Only what surely starts is named: for everything else the kernel itself must be
 * asked, because its word for the failure is part of the contract (spec process.md §3.4).
 */
import { accessSync, closeSync, constants, openSync, readSync } from 'node:fs';

/** Enough for the headers of usual programs and the longest `#!` line. */
const headBytes = 4096;
const interpreterLineBytes = 255;
/** The kernel follows a few interpreters that are scripts themselves. */
const maxInterpreters = 4;

/** `binary`: for this machine, with its loader present; `script`: with an interpreter that is such a binary. */
export function programKind(file: string): 'binary' | 'script' | 'unknown' {
  try {
    return kindOf(file, maxInterpreters);
  } catch {
    return 'unknown';
  }
}

function kindOf(file: string, depth: number): 'binary' | 'script' | 'unknown' {
  accessSync(file, constants.X_OK);
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const head = Buffer.alloc(headBytes);
    const length = readSync(fd, head, 0, headBytes, 0);
    if (head.toString('latin1', 0, 2) === '#!') {
      const interpreter = interpreterOf(head.subarray(2, Math.min(length, interpreterLineBytes)));
      return interpreter?.startsWith('/') && depth > 0 && kindOf(interpreter, depth - 1) !== 'unknown'
        ? 'script'
        : 'unknown';
    }
    return isElfForUs(head, fd) || isMachOForUs(head) ? 'binary' : 'unknown';
  } finally {
    closeSync(fd);
  }
}

function interpreterOf(line: Buffer): string | undefined {
  const end = line.indexOf(0x0a);
  if (end < 0) {
    return undefined;
  }
  return /^[ \t]*([^ \t\0]+)/.exec(line.toString('utf8', 0, end))?.[1];
}

let ownHead: Buffer | undefined;

/** The first bytes of the runtime we run on. */
function own(): Buffer {
  if (ownHead === undefined) {
    ownHead = Buffer.alloc(64);
    const fd = openSync(process.execPath, constants.O_RDONLY);
    readSync(fd, ownHead, 0, ownHead.length, 0);
    closeSync(fd);
  }
  return ownHead;
}

/** Class, byte order and machine as ours (we are 64-bit little-endian wherever we run), and a loader that exists. */
function isElfForUs(head: Buffer, fd: number): boolean {
  const ours = own();
  if (head.readUInt32BE(0) !== 0x7f454c46 || head.compare(ours, 0, 6, 0, 6) !== 0) {
    return false;
  }
  if (head.readUInt16LE(18) !== ours.readUInt16LE(18)) {
    return false;
  }
  const table = Number(head.readBigUInt64LE(32));
  const [entryBytes, entries] = [head.readUInt16LE(54), head.readUInt16LE(56)];
  if (entryBytes < 56 || table + entryBytes * entries > headBytes) {
    return false;
  }
  for (let entry = table; entry < table + entryBytes * entries; entry += entryBytes) {
    const isInterpreter = head.readUInt32LE(entry) === 3;
    if (isInterpreter && !loaderExists(head, entry, fd)) {
      return false;
    }
  }
  return true;
}

function loaderExists(head: Buffer, entry: number, fd: number): boolean {
  const [offset, bytes] = [Number(head.readBigUInt64LE(entry + 8)), Number(head.readBigUInt64LE(entry + 32))];
  if (bytes > headBytes) {
    return false;
  }
  const path = Buffer.alloc(bytes);
  readSync(fd, path, 0, bytes, offset);
  accessSync(path.toString('utf8').replace(/\0.*$/s, ''), constants.X_OK);
  return true;
}

const machO = 0xfeedfacf;
const machOFat = 0xcafebabe;
const maxArchitectures = 16;

/** CPU_TYPE_... of mach/machine.h. Our own file is no witness: a universal one may list another processor first. */
const processorTypes: Readonly<Record<string, number>> = { arm64: 0x0100_000c, x64: 0x0100_0007 };

export function isMachOForUs(head: Buffer, architecture: string = process.arch): boolean {
  const ours = processorTypes[architecture];
  return ours !== undefined && machineTypes(head).includes(ours);
}

/** Processor types of a Mach-O file; of a fat one all of them. */
function machineTypes(head: Buffer): number[] {
  if (head.readUInt32LE(0) === machO) {
    return [head.readUInt32LE(4)];
  }
  if (head.readUInt32BE(0) !== machOFat) {
    return [];
  }
  const count = head.readUInt32BE(4);
  // Java class files begin with the same four bytes; theirs is a large number here.
  if (count > maxArchitectures || 8 + count * 20 > head.length) {
    return [];
  }
  return Array.from({ length: count }, (_, index) => head.readUInt32BE(8 + index * 20));
}
