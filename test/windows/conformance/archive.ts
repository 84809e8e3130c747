/** Archives for fixtures: gzip of a USTAR file. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Scope } from './templates.ts';

export interface ArchiveEntry {
  readonly name: string;
  readonly type?: 'file' | 'dir' | 'symlink' | 'hardlink' | 'fifo';
  readonly text?: string;
  readonly mode?: string;
  readonly link?: string;
}

const blockBytes = 512;
const typeFlags = { file: '0', hardlink: '1', symlink: '2', dir: '5', fifo: '6' } as const;

export function writeArchive(path: string, entries: readonly ArchiveEntry[], scope: Scope): void {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(
      entry.type === undefined || entry.type === 'file' ? scope.expand(entry.text ?? '') : '',
      'latin1',
    );
    return [header(entry, content.length), padded(content)];
  });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)])));
}

function header(entry: ArchiveEntry, size: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  block.write(entry.name, 0);
  block.write(octal(Number.parseInt(entry.mode ?? '0644', 8), 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(1_704_067_200, 11), 136);
  block.write(' '.repeat(8), 148);
  block.write(typeFlags[entry.type ?? 'file'], 156);
  block.write(entry.link ?? '', 157);
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes)]);
}
