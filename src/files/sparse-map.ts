/**
 * Sparse files: an archive stores the pieces between their holes, and a map that tells where the pieces belong. GNU tar has
 * written the map in four ways: in the header block (old), in PAX records (0.0, 0.1) and in front of the content (1.0).
 */
import { ArchiveError, invalidTarHeader } from './archive-error.ts';
import { decimalOf } from './decimal.ts';
import { nonEmptyValue, type PaxRecords } from './pax.ts';
import { numberIn } from './tar-header.ts';

export interface SparseMap {
  /** Bytes of the file with its holes. */
  readonly size: bigint;
  /** The stored pieces, in order; what lies between them is zero. */
  readonly pieces: readonly SparsePiece[];
}

export interface SparsePiece {
  readonly offset: bigint;
  readonly length: bigint;
}

/** Gives the next 512 bytes. @throws ArchiveError when there are fewer */
type ReadBlock = () => Promise<Buffer>;

const blockBytes = 512;
const lineEnd = 0x0a;
/** Longest map. */
const longestMap = 1024 * 1024;

const mapTooLong = () => new ArchiveError('archive/tar: sparse map too long');

export type PaxSparseVersion = '0.x' | '1.0';

/** Which map the records speak of; `undefined`: the file is stored as it is, or in a version nobody knows. */
export function sparseVersionOf(records: PaxRecords): PaxSparseVersion | undefined {
  const major = records.get('GNU.sparse.major')?.toString('latin1') ?? '';
  const minor = records.get('GNU.sparse.minor')?.toString('latin1') ?? '';
  if (major === '' && minor === '') {
    // Versions 0.0 and 0.1 need not tell their numbers.
    return nonEmptyValue(records, 'GNU.sparse.map') === undefined ? undefined : '0.x';
  }
  if (major === '0' && (minor === '0' || minor === '1')) {
    return '0.x';
  }
  return major === '1' && minor === '0' ? '1.0' : undefined;
}

/**
 * The map of a file that PAX records call sparse.
 * @param storedSize what the header says
 * @param readBlock reads the content, which a map of version 1.0 stands in front of
 */
export async function readPaxSparseMap(
  records: PaxRecords,
  version: PaxSparseVersion,
  storedSize: bigint,
  readBlock: ReadBlock,
): Promise<SparseMap> {
  const told = nonEmptyValue(records, 'GNU.sparse.size') ?? nonEmptyValue(records, 'GNU.sparse.realsize');
  const size = told === undefined ? storedSize : decimalOf(told.toString('latin1'));
  return { size, pieces: version === '1.0' ? await readMapInContent(readBlock) : mapInRecords(records) };
}

function mapInRecords(records: PaxRecords): SparsePiece[] {
  const count = decimalOf(records.get('GNU.sparse.numblocks')?.toString('latin1') ?? '');
  const text = records.get('GNU.sparse.map')?.toString('latin1') ?? '';
  const numbers = text === '' ? [] : text.split(',').map(decimalOf);
  if (BigInt(numbers.length) !== 2n * count) {
    throw invalidTarHeader();
  }
  return inPairs(numbers);
}

/** Lines of decimal numbers: how many pieces, then offset and length of each; filled up to whole blocks. */
async function readMapInContent(readBlock: ReadBlock): Promise<SparsePiece[]> {
  const blocks: Buffer[] = [];
  let lineEnds = 0;

  /** The first `count` lines. */
  async function readLines(count: number): Promise<string[]> {
    while (lineEnds < count) {
      if ((blocks.length + 1) * blockBytes > longestMap) {
        throw mapTooLong();
      }
      const next = await readBlock();
      blocks.push(next);
      lineEnds += next.reduce((sum, byte) => (byte === lineEnd ? sum + 1 : sum), 0);
    }
    return Buffer.concat(blocks).toString('latin1').split('\n', count);
  }

  const [first = ''] = await readLines(1);
  const count = decimalOf(first);
  // Twice the count must be a number of 64 bits, too.
  if (count < 0n || count >= 2n ** 62n) {
    throw invalidTarHeader();
  }
  const [, ...numbers] = await readLines(1 + 2 * Number(count));
  return inPairs(numbers.map(decimalOf));
}

const block = {
  /** Four pieces in the header, 21 in each block behind it; each has two numbers of twelve bytes. */
  headerPieces: 386,
  piecesInHeader: 4,
  piecesInExtension: 21,
  pieceBytes: 24,
  numberBytes: 12,
  realSize: [483, 495],
} as const;

/** The map of the type `S`: in the header and in blocks behind it, each of which says whether one more follows. */
export async function readOldSparseMap(header: Buffer, readBlock: ReadBlock): Promise<SparseMap> {
  const size = numberIn(header, block.realSize);
  const pieces: SparsePiece[] = [];
  let area = header.subarray(block.headerPieces);
  let count: number = block.piecesInHeader;
  for (let length = count * block.pieceBytes; length < longestMap; length += blockBytes) {
    for (let start = 0; start < count * block.pieceBytes && area[start] !== 0; start += block.pieceBytes) {
      const middle = start + block.numberBytes;
      pieces.push({
        offset: numberIn(area, [start, middle]),
        length: numberIn(area, [middle, start + block.pieceBytes]),
      });
    }
    if (area[count * block.pieceBytes] === 0) {
      return { size, pieces };
    }
    area = await readBlock();
    count = block.piecesInExtension;
  }
  throw mapTooLong();
}

/** @throws ArchiveError for pieces that overlap, are out of order, or lie beyond the end of the file */
export function refuseImpossibleMap({ size, pieces }: SparseMap): void {
  let end = 0n;
  for (const { offset, length } of pieces) {
    if (offset < end || length < 0n || offset + length > size) {
      throw invalidTarHeader();
    }
    end = offset + length;
  }
  if (size < 0n) {
    throw invalidTarHeader();
  }
}

function inPairs(numbers: readonly bigint[]): SparsePiece[] {
  const pieces: SparsePiece[] = [];
  let offset: bigint | undefined;
  for (const number of numbers) {
    if (offset === undefined) {
      offset = number;
    } else {
      pieces.push({ offset, length: number });
      offset = undefined;
    }
  }
  return pieces;
}
