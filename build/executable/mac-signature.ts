/**
 * The ad hoc signature of a macOS program, as `codesign --sign -` writes it: a hash of every page, and no name of a signer.
 * Macs with ARM processors start no program without one. Layouts: xnu, osfmk/kern/cs_blobs.h (all numbers big endian) and
 * EXTERNAL_HEADERS/mach-o/loader.h (little endian).
 */
import { createHash } from 'node:crypto';

const machO64 = 0xfeedfacf;
const segmentCommand = 0x19;
const signatureCommand = 0x1d;
const headerBytes = 32;
/** What `__LINKEDIT` is rounded up to in memory on ARM. */
const memoryPageBytes = 16_384;
const hashedPageBytes = 4_096;
const hashBytes = 32;
const codeDirectoryBytes = 88;

/** Places in a signature. The code directory has the hash of whatever lies in 1 to 7 in a slot of the negated number. */
const places = { codeDirectory: 0, requirements: 2, entitlements: 5, derEntitlements: 7, cms: 0x10000 } as const;
const specialSlots = 7;

const magics = { embedded: 0xfade0cc0, codeDirectory: 0xfade0c02, requirements: 0xfade0c01, wrapper: 0xfade0b01 };
const adHoc = 0x2;
const sha256Type = 2;
const mainProgram = 1;

/** Parts of a signature by their place. */
type Parts = ReadonlyMap<number, Buffer>;

interface Command {
  readonly kind: number;
  readonly at: number;
}

/**
 * @param program of 64 bits, without a signature
 * @param entitlements of `entitlementsOf`
 * @returns the same program with its signature at the end
 * @throws Error when the file has no place for one
 */
export function signAdHoc(program: Buffer, identifier: string, entitlements: Parts): Buffer {
  const codeLimit = roundedUp(program.length, 16);
  const commandsEnd = headerBytes + program.readUInt32LE(20);
  const commands = commandsOf(program);
  const [text, linkEdit] = ['__TEXT', '__LINKEDIT'].map((name) => segmentNamed(program, commands, name)) as [
    number,
    number,
  ];
  if (commands.some(({ kind }) => kind === signatureCommand)) {
    throw new Error('the program has a signature already');
  }
  if (commandsEnd + 16 > firstSectionOf(program, text)) {
    throw new Error('there is no room for the load command of a signature');
  }
  const end = Number(program.readBigUInt64LE(linkEdit + 40) + program.readBigUInt64LE(linkEdit + 48));
  if (end !== program.length) {
    throw new Error('__LINKEDIT does not end with the file');
  }
  const parts = new Map([
    [places.requirements, blob(magics.requirements, Buffer.alloc(4))],
    ...entitlements,
    [places.cms, blob(magics.wrapper, Buffer.alloc(0))],
  ]);
  const pages = Math.ceil(codeLimit / hashedPageBytes);
  const directoryBytes = codeDirectoryBytes + identifier.length + 1 + (specialSlots + pages) * hashBytes;
  const signatureBytes = roundedUp(
    12 + (parts.size + 1) * 8 + directoryBytes + [...parts.values()].reduce((sum, { length }) => sum + length, 0),
    16,
  );

  const signed = Buffer.alloc(codeLimit + signatureBytes);
  program.copy(signed);
  // The header is hashed too, so it tells of the signature before there is one.
  signed.writeUInt32LE(program.readUInt32LE(16) + 1, 16);
  signed.writeUInt32LE(program.readUInt32LE(20) + 16, 20);
  words([signatureCommand, 16, codeLimit, signatureBytes]).swap32().copy(signed, commandsEnd);
  const linkEditBytes = signed.length - Number(program.readBigUInt64LE(linkEdit + 40));
  signed.writeBigUInt64LE(BigInt(roundedUp(linkEditBytes, memoryPageBytes)), linkEdit + 32);
  signed.writeBigUInt64LE(BigInt(linkEditBytes), linkEdit + 48);

  const directory = codeDirectory(signed.subarray(0, codeLimit), identifier, parts, {
    from: Number(program.readBigUInt64LE(text + 40)),
    bytes: Number(program.readBigUInt64LE(text + 48)),
  });
  superBlob(new Map([[places.codeDirectory, directory], ...parts])).copy(signed, codeLimit);
  return signed;
}

/**
 * What the system permits a signed program beyond the usual, such as making machine code at run time.
 * @returns both of its forms (XML and DER) as they lie in the signature
 */
export function entitlementsOf(program: Buffer): Parts {
  const command = commandsOf(program).find(({ kind }) => kind === signatureCommand);
  if (command === undefined) {
    return new Map();
  }
  const start = program.readUInt32LE(command.at + 8);
  const count = program.readUInt32BE(start + 8);
  return new Map(
    Array.from({ length: count }, (_, index): [number, Buffer] => {
      const at = start + program.readUInt32BE(start + 16 + 8 * index);
      return [program.readUInt32BE(start + 12 + 8 * index), program.subarray(at, at + program.readUInt32BE(at + 4))];
    }).filter(([place]) => place === places.entitlements || place === places.derEntitlements),
  );
}

function commandsOf(program: Buffer): readonly Command[] {
  if (program.readUInt32LE(0) !== machO64) {
    throw new Error('this is no program of macOS for one processor of 64 bits');
  }
  const commands: Command[] = [];
  for (let at = headerBytes; commands.length < program.readUInt32LE(16); at += program.readUInt32LE(at + 4)) {
    commands.push({ kind: program.readUInt32LE(at), at });
  }
  return commands;
}

/** @returns where its load command is: name (8), address (24), size (32), offset in the file (40), size there (48) */
function segmentNamed(program: Buffer, commands: readonly Command[], name: string): number {
  const isIt = ({ kind, at }: Command): boolean =>
    kind === segmentCommand && program.toString('latin1', at + 8, at + 24).replace(/\0+$/, '') === name;
  const command = commands.find(isIt);
  if (command === undefined) {
    throw new Error(`the program has no segment ${name}`);
  }
  return command.at;
}

function firstSectionOf(program: Buffer, segment: number): number {
  const offsets = Array.from({ length: program.readUInt32LE(segment + 64) }, (_, index) =>
    program.readUInt32LE(segment + 72 + 80 * index + 48),
  );
  return Math.min(...offsets.filter((offset) => offset > 0));
}

/** @param code everything before the signature */
function codeDirectory(
  code: Buffer,
  identifier: string,
  parts: Parts,
  textSegment: { readonly from: number; readonly bytes: number },
): Buffer {
  const name = Buffer.from(`${identifier}\0`);
  const special = Array.from({ length: specialSlots }, (_, index) => {
    const part = parts.get(specialSlots - index);
    return part === undefined ? Buffer.alloc(hashBytes) : sha256(part);
  });
  const pages = Array.from({ length: Math.ceil(code.length / hashedPageBytes) }, (_, index) =>
    sha256(code.subarray(index * hashedPageBytes, (index + 1) * hashedPageBytes)),
  );
  const hashesAt = codeDirectoryBytes + name.length + specialSlots * hashBytes;
  const fixed = [
    words([0x20400, adHoc, hashesAt, codeDirectoryBytes, specialSlots, pages.length, code.length]),
    Buffer.from([hashBytes, sha256Type, 0, Math.log2(hashedPageBytes)]),
    // Five fields that are not used.
    Buffer.alloc(24),
    // Three of 64 bits.
    words([0, textSegment.from, 0, textSegment.bytes, 0, mainProgram]),
  ];
  return blob(magics.codeDirectory, Buffer.concat([...fixed, name, ...special, ...pages]));
}

function superBlob(parts: Parts): Buffer {
  const rows: number[] = [];
  let next = 12 + 8 * parts.size;
  for (const [place, { length }] of parts) {
    rows.push(place, next);
    next += length;
  }
  return blob(magics.embedded, Buffer.concat([words([parts.size, ...rows]), ...parts.values()]));
}

function blob(magic: number, content: Buffer): Buffer {
  return Buffer.concat([words([magic, 8 + content.length]), content]);
}

function words(numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [index, number] of numbers.entries()) {
    bytes.writeUInt32BE(number, 4 * index);
  }
  return bytes;
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function roundedUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
