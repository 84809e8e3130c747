/**
 * Decodes a header block as the reader of Go's standard library does, which is the reader of the contract: what it takes
 * is taken, what it refuses is refused (test/files/tried-archives.test.ts). Numbers are checked in fields that nobody
 * uses here, too, because nonsense in one of them means that the block is damaged.
 */
import { invalidTarHeader } from './archive-error.ts';

export interface TarHeader {
  readonly name: Buffer;
  /** The archive's letter for the type; its byte as a character. */
  readonly typeLetter: string;
  /** As the block says it, so it may be negative. */
  readonly size: bigint;
  /** Permissions and set-id bits. */
  readonly mode: number;
  /** Whether the block has the layout of GNU tar, the only one with a map of holes. */
  readonly isGnu: boolean;
}

type Layout = 'v7' | 'ustar' | 'star' | 'gnu';

/** Where each field starts, and the byte behind it. */
const field = {
  name: [0, 100],
  mode: [100, 108],
  userId: [108, 116],
  groupId: [116, 124],
  size: [124, 136],
  modificationTime: [136, 148],
  checksum: [148, 156],
  type: [156, 157],
  magic: [257, 263],
  version: [263, 265],
  deviceMajor: [329, 337],
  deviceMinor: [337, 345],
  prefix: [345, 500],
  starPrefix: [345, 476],
  starAccessTime: [476, 488],
  starChangeTime: [488, 500],
  starTrailer: [508, 512],
  gnuAccessTime: [345, 357],
  gnuChangeTime: [357, 369],
} as const;

type Field = readonly [start: number, end: number];

/** @throws ArchiveError for a wrong sum and for a number that is none */
export function decodeHeader(block: Buffer): TarHeader {
  refuseWrongChecksum(block);
  const layout = layoutOf(block);
  const size = numberIn(block, field.size);
  const mode = Number(BigInt.asUintN(12, numberIn(block, field.mode)));
  checkNumbers(block, [field.userId, field.groupId, field.modificationTime]);
  if (layout !== 'v7') {
    checkNumbers(block, [field.deviceMajor, field.deviceMinor]);
  }
  const prefix = prefixOf(block, layout);
  const name = textIn(block, field.name);
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]),
    typeLetter: block.toString('latin1', ...field.type),
    size,
    mode,
    isGnu: layout === 'gnu',
  };
}

/** An octal number, or one in base 256 with the highest bit set; empty fields are 0. @throws ArchiveError */
export function numberIn(block: Buffer, [start, end]: Field): bigint {
  const bytes = block.subarray(start, end);
  return (bytes[0] ?? 0) & 0x80 ? base256Of(bytes) : octalOf(bytes);
}

/** What stands in front of the first NUL; a full field has none. */
export function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

function textIn(block: Buffer, [start, end]: Field): Buffer {
  return untilNul(block.subarray(start, end));
}

/** Digits with any number of spaces and NULs around them; behind a NUL anything may stand. */
const octal = /^[ \0]*(?:([0-7]+)(?:[ \0]*$|\0)|$)/;

function octalOf(bytes: Buffer): bigint {
  const match = octal.exec(bytes.toString('latin1'));
  if (match === null) {
    throw invalidTarHeader();
  }
  // No field has digits for a number that a double cannot hold.
  return BigInt(Number.parseInt(match[1] ?? '0', 8));
}

/** Two's complement in the bits behind the highest. */
function base256Of(bytes: Buffer): bigint {
  const value = BigInt.asIntN(8 * bytes.length - 1, BigInt(`0x${bytes.toString('hex')}`));
  if (BigInt.asIntN(64, value) !== value) {
    throw invalidTarHeader();
  }
  return value;
}

function checkNumbers(block: Buffer, fields: readonly Field[]): void {
  for (const one of fields) {
    numberIn(block, one);
  }
}

/** The sum of all bytes, those of the sum itself counted as spaces. The tar of old SunOS took the bytes as signed. */
function refuseWrongChecksum(block: Buffer): void {
  const [start, end] = field.checksum;
  const [sum, high] = sumOf(block);
  const [ownSum, ownHigh] = sumOf(block.subarray(start, end));
  const unsigned = sum - ownSum + 0x20 * (end - start);
  const signed = unsigned - 256 * (high - ownHigh);
  const told = Number(octalOf(block.subarray(start, end)));
  if (told !== unsigned && told !== signed) {
    throw invalidTarHeader();
  }
}

/** The sum of the bytes, and how many of them have the highest bit. */
function sumOf(bytes: Buffer): [sum: number, high: number] {
  let sum = 0;
  let high = 0;
  for (const byte of bytes) {
    sum += byte;
    high += byte >> 7;
  }
  return [sum, high];
}

function layoutOf(block: Buffer): Layout {
  const magic = block.toString('latin1', ...field.magic);
  if (magic === 'ustar\0') {
    return block.toString('latin1', ...field.starTrailer) === 'tar\0' ? 'star' : 'ustar';
  }
  return magic === 'ustar ' && block.toString('latin1', ...field.version) === ' \0' ? 'gnu' : 'v7';
}

/** What stands in front of the name, in the layouts that have such a field. */
function prefixOf(block: Buffer, layout: Layout): Buffer {
  switch (layout) {
    case 'v7':
      return Buffer.alloc(0);
    case 'ustar':
      return textIn(block, field.prefix);
    case 'star':
      checkNumbers(block, [field.starAccessTime, field.starChangeTime]);
      return textIn(block, field.starPrefix);
    case 'gnu':
      return gnuPrefixOf(block);
  }
}

/**
 * GNU tar has times where the others have the prefix. Programs made with Go before 1.8 wrote a prefix there all the same:
 * where no times can be read and the text is ASCII, it is one.
 */
function gnuPrefixOf(block: Buffer): Buffer {
  const none = Buffer.alloc(0);
  try {
    checkNumbers(
      block,
      [field.gnuAccessTime, field.gnuChangeTime].filter(([start]) => block[start] !== 0),
    );
    return none;
  } catch {
    const prefix = textIn(block, field.prefix);
    return prefix.every((byte) => byte < 0x80) ? prefix : none;
  }
}
