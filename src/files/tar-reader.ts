/**
 * Walks a tar archive: v7, ustar, PAX (path, size), GNU long names, base-256 numbers (spec files.md §7.2).
 *
 * The `tar` package decodes the header blocks (checksum, numbers). Its own walker is not used: it decodes names as text
 * piece by piece, so that a name that is not UTF-8, or is cut by a piece's end, becomes another one; it passes over
 * PAX records with a line end in them and long names over 1 MiB without a word, and unpacks under the truncated name
 * then. All of that would look like success.
 */
import { Header } from 'tar/header';
import { ArchiveError, unexpectedEnd } from './archive-error.ts';
import type { ByteReader } from './byte-reader.ts';
import { type PaxRecords, readPax } from './pax.ts';

export interface TarEntry {
  /** As it stands in the archive. */
  readonly name: Buffer;
  readonly type: 'file' | 'directory' | 'other';
  /** The archive's own letter for the type. */
  readonly typeLetter: string;
  /** Permissions and set-id bits. */
  readonly mode: number;
}

const blockBytes = 512;
/** Longest PAX header or long name. */
const longestSpecial = 1024 * 1024;

const invalidHeader = () => new ArchiveError('archive/tar: invalid tar header');

export class TarReader {
  readonly #input: ByteReader;
  /** Bytes of the entry's content that were not read yet, and of the padding behind it. */
  #contentLeft = 0;
  #padding = 0;

  constructor(input: ByteReader) {
    this.#input = input;
  }

  /**
   * The next entry; what is left of the one before is passed over. `undefined` at the end: two zero blocks, behind
   * which nothing is read, or the end of the data between two blocks.
   * @throws ArchiveError, failures of the input
   */
  async next(): Promise<TarEntry | undefined> {
    let pax: PaxRecords = { sparse: false };
    let longName: Buffer | undefined;
    for (;;) {
      const block = (await this.#toNextBlock()) ? await this.#readHeaderBlock() : undefined;
      if (block === undefined) {
        return undefined;
      }
      const letter = String.fromCharCode(block[156] ?? 0);
      if (letter === 'x') {
        pax = readPax(await this.#readSpecial(block));
      } else if (letter === 'L') {
        longName = untilNul(await this.#readSpecial(block));
      } else if (letter === 'K') {
        await this.#readSpecial(block);
      } else if (letter === 'g') {
        return { name: nameInBlock(block), type: 'other', typeLetter: 'g', mode: 0 };
      } else {
        return this.#startEntry(block, letter, pax, longName?.length ? longName : pax.path);
      }
    }
  }

  /** Content of the entry that `next` returned last. Each piece is valid until the next. @throws ArchiveError */
  async *content(): AsyncGenerator<Buffer, void, undefined> {
    while (this.#contentLeft > 0) {
      const piece = await this.#input.some(this.#contentLeft);
      if (piece === undefined) {
        throw unexpectedEnd();
      }
      this.#contentLeft -= piece.length;
      yield piece;
    }
  }

  #startEntry(block: Buffer, letter: string, pax: PaxRecords, givenName: Buffer | undefined): TarEntry {
    const name = givenName ?? nameInBlock(block);
    const header = decode(block, pax.size);
    if (pax.sparse) {
      return { name, type: 'other', typeLetter: 'S', mode: 0 };
    }
    let type: TarEntry['type'] = 'other';
    if (letter === '5' || (letter === '\0' && name.at(-1) === 0x2f)) {
      type = 'directory';
    } else if (letter === '0' || letter === '\0') {
      type = 'file';
    }
    // Some programs write the size of the directory itself; there is no content behind it.
    this.#setContent(type === 'directory' ? 0 : header.size);
    return { name, type, typeLetter: letter, mode: header.mode };
  }

  #setContent(size: number): void {
    this.#contentLeft = size;
    this.#padding = (blockBytes - (size % blockBytes)) % blockBytes;
  }

  /** @returns whether there is one: data that end within padding hold all they should */
  async #toNextBlock(): Promise<boolean> {
    const left = this.#contentLeft;
    const padding = this.#padding;
    this.#setContent(0);
    if ((await this.#input.skip(left)) < left) {
      throw unexpectedEnd();
    }
    return (await this.#input.skip(padding)) === padding;
  }

  async #readHeaderBlock(): Promise<Buffer | undefined> {
    const block = await this.#readBlock();
    if (block === undefined || !isZero(block)) {
      return block;
    }
    const second = await this.#readBlock();
    if (second !== undefined && !isZero(second)) {
      throw invalidHeader();
    }
    return undefined;
  }

  async #readBlock(): Promise<Buffer | undefined> {
    const block = await this.#input.exactly(blockBytes);
    if (block.length === 0) {
      return undefined;
    }
    if (block.length < blockBytes) {
      throw unexpectedEnd();
    }
    return block;
  }

  /** Content of a header that belongs to the entry behind it. */
  async #readSpecial(block: Buffer): Promise<Buffer> {
    const { size } = decode(block, undefined);
    if (size > longestSpecial) {
      throw new ArchiveError('archive/tar: header field too long');
    }
    const bytes = await this.#input.exactly(size);
    if (bytes.length < size) {
      throw unexpectedEnd();
    }
    this.#setContent(size);
    this.#contentLeft = 0;
    return bytes;
  }
}

/** @throws ArchiveError on a wrong checksum or a number that is none */
function decode(block: Buffer, paxSize: number | undefined): { readonly size: number; readonly mode: number } {
  let header: Header;
  try {
    // The name is given as plain: with a slash at its end the package makes a directory of every file.
    header = new Header(block, 0, { path: 'entry', ...(paxSize !== undefined && { size: paxSize }) });
  } catch {
    throw invalidHeader();
  }
  const { cksumValid, size, mode } = header;
  if (!cksumValid || (size === undefined && !isBlank(block, 124, 136))) {
    throw invalidHeader();
  }
  if (mode === undefined && !isBlank(block, 100, 108)) {
    throw invalidHeader();
  }
  return { size: size ?? 0, mode: (mode ?? 0) & 0o7777 };
}

/** Name of v7, with the prefix of ustar (131 bytes in the dialect of star). */
function nameInBlock(block: Buffer): Buffer {
  const name = untilNul(block.subarray(0, 100));
  if (block.toString('latin1', 257, 263) !== 'ustar\0') {
    return name;
  }
  const star = block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = untilNul(block.subarray(345, star ? 476 : 500));
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

function isBlank(block: Buffer, start: number, end: number): boolean {
  return block.subarray(start, end).every((byte) => byte === 0 || byte === 0x20);
}
