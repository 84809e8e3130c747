import type { OnReadOpts } from 'node:net';
import type { OutputName, SpawnRequest } from '../processes.ts';

const readBuffers = new Map<number, Buffer>();

/**
 * One read buffer for all children of a size: libuv takes it, reads and calls back within one call, so two reads never
 * meet in it, and a thousand idle sessions cost no buffer each.
 */
function readBuffer(bytes: number): Buffer {
  let buffer = readBuffers.get(bytes);
  if (buffer === undefined) {
    buffer = Buffer.allocUnsafeSlow(bytes);
    readBuffers.set(bytes, buffer);
  }
  return buffer;
}

/** How a socket reads one output of a child. */
export function outputReads(
  name: OutputName,
  events: Pick<SpawnRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput'>,
): OnReadOpts {
  const next = events.readBuffer ?? (() => readBuffer(events.maxChunkBytes));
  let buffer = next();
  return {
    buffer() {
      buffer = next();
      return buffer;
    },
    callback: (length) => events.onOutput(name, buffer.subarray(0, length), length === buffer.length),
  };
}
