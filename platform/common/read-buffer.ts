const readBuffers = new Map<number, Buffer>();

/**
 * One read buffer for all children of a size: libuv takes it, reads and calls back within one call, so two reads never
 * meet in it, and a thousand idle sessions cost no buffer each.
 */
export function readBuffer(bytes: number): Buffer {
  let buffer = readBuffers.get(bytes);
  if (buffer === undefined) {
    buffer = Buffer.allocUnsafeSlow(bytes);
    readBuffers.set(bytes, buffer);
  }
  return buffer;
}
