/**
 * `node test/windows/align-sections.ts <file>`: lays the sections of a Windows program out in its file as they lie in
 * memory, on pages. Wine maps such a program; of any other it reads every section, 87 MB of Node.js for each start, and a
 * fork of it copies them once more. The program is the same otherwise. Does nothing where they lie so already.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

const [, , file] = process.argv;
if (file === undefined) {
  throw new Error('usage: node test/windows/align-sections.ts <file>');
}
const pageBytes = 4096;
const wholePages = (bytes: number): number => Math.ceil(bytes / pageBytes) * pageBytes;

// The offsets are those of winnt.h: IMAGE_FILE_HEADER, IMAGE_OPTIONAL_HEADER64 and IMAGE_SECTION_HEADER.
const program = readFileSync(file);
const fileHeader = program.readUInt32LE(0x3c) + 4;
const optionalHeader = fileHeader + 20;
const [fileAlignment, sizeOfHeaders, certificates] = [36, 60, 144].map((offset) => optionalHeader + offset) as [
  number,
  number,
  number,
];
const sectionHeaders = optionalHeader + program.readUInt16LE(fileHeader + 16);

if (program.readUInt32LE(fileAlignment) < pageBytes) {
  const header = padded(program.subarray(0, program.readUInt32LE(sizeOfHeaders)));
  const parts = [header];
  let at = header.length;
  for (let index = 0; index < program.readUInt16LE(fileHeader + 2); index++) {
    const [size, offset] = [16, 20].map((field) => sectionHeaders + 40 * index + field) as [number, number];
    if (program.readUInt32LE(size) === 0) {
      continue;
    }
    const start = program.readUInt32LE(offset);
    const part = padded(program.subarray(start, start + program.readUInt32LE(size)));
    header.writeUInt32LE(part.length, size);
    header.writeUInt32LE(at, offset);
    parts.push(part);
    at += part.length;
  }
  header.writeUInt32LE(pageBytes, fileAlignment);
  header.writeUInt32LE(header.length, sizeOfHeaders);
  // They stand behind the sections and sign the file as it was.
  header.fill(0, certificates, certificates + 8);
  const aligned = `${file}.aligned`;
  writeFileSync(aligned, Buffer.concat(parts), { mode: 0o755 });
  renameSync(aligned, file);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], wholePages(bytes.length));
}
