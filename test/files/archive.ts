/** Makes tar archives block by block, also such as no program would write. */
import { gzipSync } from 'node:zlib';

export interface EntryOptions {
  /** The type letter; `'0'` is a file. */
  readonly type?: string;
  readonly content?: Buffer | string;
  /** What the header says; by default the length of the content. */
  readonly size?: number | Buffer;
  readonly mode?: number;
  readonly link?: string;
  /** `v7` has no magic and no prefix. */
  readonly format?: 'ustar' | 'v7' | 'gnu' | 'star';
  readonly prefix?: string;
  /** Bytes written over the header as they are, by the offset of the field. */
  readonly raw?: Readonly<Record<number, string | Buffer>>;
  /** The eight bytes of the checksum, made from the right sum; `signed` adds the bytes up as numbers from -128 to 127. */
  readonly checksum?: (sums: { readonly unsigned: number; readonly signed: number }) => string;
}

/** Offsets of the fields of a header, for `raw`. */
export const at = {
  mode: 100,
  userId: 108,
  groupId: 116,
  size: 124,
  time: 136,
  magic: 257,
  userName: 265,
  deviceMajor: 329,
  prefix: 345,
  oldSparseMap: 386,
  oldSparseMore: 482,
  realSize: 483,
  trailer: 508,
} as const;

const block = 512;

/** A header with its content and padding. The name is cut to 100 bytes. */
export function entry(name: string | Buffer, options: EntryOptions = {}): Buffer {
  const { type = '0', mode = 0o644, link = '', format = 'ustar', prefix = '' } = options;
  const content = Buffer.from(options.content ?? '');
  const size = options.size ?? content.length;
  const header = Buffer.alloc(block);
  Buffer.from(name).copy(header, 0, 0, 100);
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100, 'latin1');
  header.write('0000000\0', 108, 'latin1');
  header.write('0000000\0', 116, 'latin1');
  if (typeof size === 'number') {
    header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  } else {
    size.copy(header, 124, 0, 12);
  }
  header.write('00000000000\0', 136, 'latin1');
  header.write(type, 156, 'latin1');
  header.write(link, 157, 100, 'utf8');
  if (format === 'ustar' || format === 'star') {
    header.write('ustar\x0000', at.magic, 'latin1');
  }
  if (format === 'star') {
    header.write('tar\0', at.trailer, 'latin1');
  }
  if (format === 'gnu') {
    header.write('ustar  \0', 257, 'latin1');
  }
  header.write(prefix, at.prefix, 155, 'utf8');
  for (const [offset, bytes] of Object.entries(options.raw ?? {})) {
    Buffer.from(bytes as string, 'latin1').copy(header, Number(offset));
  }
  return Buffer.concat([withChecksum(header, options.checksum), padded(content)]);
}

export function withChecksum(
  header: Buffer,
  checksum: NonNullable<EntryOptions['checksum']> = ({ unsigned }) => `${unsigned.toString(8).padStart(6, '0')}\0 `,
): Buffer {
  header.fill(0x20, 148, 156);
  const unsigned = header.reduce((total, byte) => total + byte, 0);
  const signed = header.reduce((total, byte) => total + ((byte << 24) >> 24), 0);
  header.fill(0, 148, 156);
  header.write(checksum({ unsigned, signed }), 148, 8, 'latin1');
  return header;
}

export function directory(name: string): Buffer {
  return entry(name, { type: '5', mode: 0o755 });
}

/** PAX records for the entry behind them. */
export function pax(records: Record<string, string | Buffer>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value)));
  return rawPax(Buffer.concat(lines), type);
}

/** A PAX header with this text, whatever it is. */
export function rawPax(content: string | Buffer, type = 'x'): Buffer {
  return entry('PaxHeader', { type, content });
}

export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length;
  while (String(length).length + rest.length !== length) {
    length = String(length).length + rest.length;
  }
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** The name of the entry behind it, in GNU's way. */
export function gnuLongName(name: string | Buffer): Buffer {
  return entry('././@LongLink', {
    type: 'L',
    content: Buffer.concat([Buffer.from(name), Buffer.alloc(1)]),
    format: 'gnu',
  });
}

export const endOfArchive = Buffer.alloc(2 * block);

export function tarOf(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, endOfArchive]);
}

export function targz(...parts: readonly Buffer[]): Buffer {
  return gzipSync(tarOf(...parts));
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((block - (content.length % block)) % block)]);
}
