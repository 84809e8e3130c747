/** Short texts on stdout and stderr that must be out before the process ends. */

// src/main.ts says why not by `import`.
const { writeSync } = process.getBuiltinModule('node:fs');

const retryMs = 5;

/** Writes all of `text` at once; a reader that has gone away is no failure. */
export function writeWhole(fd: 1 | 2, text: string | Buffer): void {
  let rest = typeof text === 'string' ? Buffer.from(text) : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        return;
      }
      // Somebody else made the pipe non-blocking and it is full; the text is short and there is nothing else to do.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
  }
}
