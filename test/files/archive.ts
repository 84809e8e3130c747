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
  readonly format?: 'ustar' | 'v7' | 'gnu';
  readonly prefix?: string;
}

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
  if (format === 'ustar') {
    header.write('ustar\x0000', 257, 'latin1');
  }
  if (format === 'gnu') {
    header.write('ustar  \0', 257, 'latin1');
  }
  header.write(prefix, 345, 155, 'utf8');
  return Buffer.concat([withChecksum(header), padded(content)]);
}

export function withChecksum(header: Buffer): Buffer {
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

export function directory(name: string): Buffer {
  return entry(name, { type: '5', mode: 0o755 });
}

/** PAX records for the entry behind them. */
export function pax(records: Record<string, string | Buffer>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value)));
  return entry('PaxHeader', { type, content: Buffer.concat(lines) });
}

function paxRecord(key: string, value: Buffer): Buffer {
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
