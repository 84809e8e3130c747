/**
 * Walks a tar archive and takes exactly the archives that Go's reader takes: v7, ustar, star, PAX, GNU long names, numbers
 * in base 256, sparse files (spec files.md §7.2). No library is used for it, because those that there are warn and go
 * on: they decode names as text, so that a name that is not UTF-8 becomes another one, and they pass over long names
 * and records they do not like, and all of that looks like success.
 */
import { ArchiveError, invalidTarHeader, unexpectedEnd } from './archive-error.ts';
import type { ByteReader } from './byte-reader.ts';
import { checkedSize, nonEmptyValue, type PaxRecords, readPax } from './pax.ts';
import {
  readOldSparseMap,
  readPaxSparseMap,
  refuseImpossibleMap,
  type SparseMap,
  sparseVersionOf,
} from './sparse-map.ts';
import { decodeHeader, type TarHeader, untilNul } from './tar-header.ts';

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

/** Types that have no content, whatever their size says: links, devices, folders, FIFOs. */
const withoutContent = '123456';

const slash = 0x2f;

/** What the holes of sparse files are written from. */
const zeros = Buffer.alloc(32_768);

export class TarReader {
  readonly #input: ByteReader;
  /** Bytes of the entry's stored content that were not read yet, and of the padding behind it. */
  #contentLeft = 0;
  #padding = 0;
  /** Where the stored content belongs; `undefined`: it is the file. */
  #sparse: SparseMap | undefined;

  constructor(input: ByteReader) {
    this.#input = input;
  }

  /**
   * The next entry; what is left of the one before is passed over. `undefined` at the end: two zero blocks, behind
   * which nothing is read, or the end of the data between two blocks.
   * @throws ArchiveError, failures of the input
   */
  async next(): Promise<TarEntry | undefined> {
    let records: PaxRecords = new Map();
    let longName: Buffer | undefined;
    for (;;) {
      const block = (await this.#toNextBlock()) ? await this.#readHeaderBlock() : undefined;
      if (block === undefined) {
        return undefined;
      }
      const header = decodeHeader(block);
      const { typeLetter } = header;
      this.#setContent(typeLetter, header.size);
      if (typeLetter === 'x') {
        records = readPax(await this.#readSpecial());
      } else if (typeLetter === 'L') {
        longName = untilNul(await this.#readSpecial());
      } else if (typeLetter === 'K') {
        await this.#readSpecial();
      } else if (typeLetter === 'g') {
        const name = nonEmptyValue(readPax(await this.#readSpecial()), 'path') ?? header.name;
        return { name, type: 'other', typeLetter, mode: 0 };
      } else {
        return this.#startEntry(block, header, records, longName?.length ? longName : undefined);
      }
    }
  }

  /** Content of the entry that `next` returned last. Each piece is valid until the next. @throws ArchiveError */
  async *content(): AsyncGenerator<Buffer, void, undefined> {
    if (this.#sparse !== undefined) {
      yield* this.#sparseContent(this.#sparse);
      return;
    }
    while (this.#contentLeft > 0) {
      yield await this.#storedContent(this.#contentLeft);
    }
  }

  async *#sparseContent({ size, pieces }: SparseMap): AsyncGenerator<Buffer, void, undefined> {
    let position = 0n;
    for (const { offset, length } of pieces) {
      if (length > 0n) {
        yield* hole(offset - position);
        for (let left = Number(length); left > 0; ) {
          if (this.#contentLeft === 0) {
            throw new ArchiveError('archive/tar: sparse file references non-existent data');
          }
          const piece = await this.#storedContent(Math.min(left, this.#contentLeft));
          left -= piece.length;
          yield piece;
        }
        position = offset + length;
      }
    }
    yield* hole(size - position);
    if (this.#contentLeft > 0) {
      throw new ArchiveError('archive/tar: sparse file contains unreferenced data');
    }
  }

  async #storedContent(most: number): Promise<Buffer> {
    const piece = await this.#input.some(most);
    if (piece === undefined) {
      throw unexpectedEnd();
    }
    this.#contentLeft -= piece.length;
    return piece;
  }

  async #startEntry(
    block: Buffer,
    header: TarHeader,
    records: PaxRecords,
    longName: Buffer | undefined,
  ): Promise<TarEntry> {
    const size = checkedSize(records) ?? header.size;
    let name = longName ?? nonEmptyValue(records, 'path') ?? header.name;
    let { typeLetter } = header;
    if (typeLetter === '\0') {
      // Before there was a letter for folders, a slash at the end of the name told them from files.
      typeLetter = name.at(-1) === slash ? '5' : '0';
    }
    this.#setContent(typeLetter, size);
    const version = sparseVersionOf(records);
    if (typeLetter === 'S') {
      this.#sparse = await this.#readOldSparseMap(block, header);
    } else if (version !== undefined) {
      name = nonEmptyValue(records, 'GNU.sparse.name') ?? name;
      this.#sparse = await readPaxSparseMap(records, version, size, () => this.#readContentBlock());
    }
    if (this.#sparse !== undefined) {
      refuseImpossibleMap(this.#sparse);
      if (withoutContent.includes(typeLetter)) {
        throw invalidTarHeader();
      }
    }
    const type = typeLetter === '0' ? 'file' : typeLetter === '5' ? 'directory' : 'other';
    return { name, type, typeLetter, mode: header.mode };
  }

  #readOldSparseMap(block: Buffer, { isGnu }: TarHeader): Promise<SparseMap> {
    if (!isGnu) {
      throw invalidTarHeader();
    }
    return readOldSparseMap(block, () => this.#readMapBlock());
  }

  #setContent(typeLetter: string, told: bigint): void {
    const size = withoutContent.includes(typeLetter) ? 0n : told;
    if (size < 0n) {
      throw invalidTarHeader();
    }
    // Above 2^53 the number is not exact, but no data are as long as that.
    this.#contentLeft = Number(size);
    this.#padding = Number(BigInt.asUintN(9, -size));
    this.#sparse = undefined;
  }

  /** @returns whether there is one: data that end within padding hold all they should */
  async #toNextBlock(): Promise<boolean> {
    const left = this.#contentLeft;
    const padding = this.#padding;
    this.#contentLeft = 0;
    this.#padding = 0;
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
      throw invalidTarHeader();
    }
    return undefined;
  }

  /** @returns `undefined` at the end of the data */
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

  /** A map in the old format goes on behind the header, in blocks that the size does not count. */
  async #readMapBlock(): Promise<Buffer> {
    const block = await this.#readBlock();
    if (block === undefined) {
      throw unexpectedEnd();
    }
    return block;
  }

  /** The next block of the entry's stored content. */
  async #readContentBlock(): Promise<Buffer> {
    return this.#readContent(blockBytes, blockBytes);
  }

  /** Content of a header that belongs to the entry behind it. */
  async #readSpecial(): Promise<Buffer> {
    const bytes = await this.#readContent(0, longestSpecial + 1);
    if (bytes.length > longestSpecial) {
      throw new ArchiveError('archive/tar: header field too long');
    }
    return bytes;
  }

  /** All the stored content there is, up to `most` bytes. */
  async #readContent(least: number, most: number): Promise<Buffer> {
    const length = Math.min(this.#contentLeft, most);
    const bytes = await this.#input.exactly(length);
    this.#contentLeft -= bytes.length;
    if (bytes.length < length || length < least) {
      throw unexpectedEnd();
    }
    return bytes;
  }
}

function* hole(length: bigint): Generator<Buffer, void, undefined> {
  for (let left = Number(length); left > 0; left -= zeros.length) {
    yield zeros.subarray(0, Math.min(left, zeros.length));
  }
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}
