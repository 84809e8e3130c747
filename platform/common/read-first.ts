import { readSync } from 'node:fs';

/** The first bytes of an open file, at most `maxBytes`. @throws Node's error */
export function readFirst(fd: number, maxBytes: number): Buffer {
  const buffer = Buffer.alloc(maxBytes);
  let length = 0;
  for (;;) {
    const count = readSync(fd, buffer, length, maxBytes - length, length);
    length += count;
    if (count === 0 || length === maxBytes) {
      return buffer.subarray(0, length);
    }
  }
}
