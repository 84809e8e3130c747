/** This process's stdout and stderr for verbs that print much: they wait for their reader, and end when it goes. */
import type { Writable } from 'node:stream';
import type { Outputs } from './session-printer.ts';

/** Whoever read us has gone: nothing more is to be done, and nothing to be told. */
export class OutputClosed extends Error {}

export function standardOutputs(): Outputs {
  return {
    stdout: writerOf(process.stdout),
    stderr: writerOf(process.stderr),
    isTerminal: { stdout: process.stdout.isTTY === true, stderr: process.stderr.isTTY === true },
  };
}

/** @returns writes all of the bytes, and resolves when there is room for more; rejects with OutputClosed */
export function writerOf(stream: Writable): (bytes: Uint8Array | string) => Promise<void> {
  // Failures come to the write they belong to.
  stream.on('error', () => {});
  return (bytes) =>
    bytes.length === 0
      ? Promise.resolve()
      : new Promise((resolve, reject) => {
          stream.write(bytes, (error) => {
            if (error) {
              reject(new OutputClosed(error.message, { cause: error }));
            } else {
              resolve();
            }
          });
        });
}
