import { close as closeDescriptor, fstat as fstatDescriptor, read as readDescriptorOnce } from 'node:fs';
import { promisify } from 'node:util';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { as } from './file-error.ts';

const close = promisify(closeDescriptor);
const fstat = promisify(fstatDescriptor);
const read = promisify(readDescriptorOnce);

/**
 * All of an open regular file; the descriptor is closed in any case.
 * @param path for messages
 * @throws SystemCallError `read <path>: ...`: `EINVAL` for anything but a regular file, `EFBIG` beyond `maxBytes`
 */
export async function readDescriptor(
  paths: Paths,
  descriptor: number,
  path: string,
  maxBytes: number,
): Promise<Buffer> {
  const refusal = (code: string) => new SystemCallError(`read ${path}: ${paths.reasonForCode(code)}`, code);
  try {
    const status = await as(paths, 'stat', path, () => fstat(descriptor));
    if (!status.isFile()) {
      throw refusal('EINVAL');
    }
    if (status.size > maxBytes) {
      throw refusal('EFBIG');
    }
    const chunks: Buffer[] = [];
    // One byte more than there should be, so that the end is seen with the first read.
    for (let size = status.size + 1, done = 0; ; size = 65_536) {
      const chunk = Buffer.allocUnsafe(size);
      const { bytesRead } = await as(paths, 'read', path, () => read(descriptor, chunk, 0, size, null));
      if (bytesRead === 0) {
        return Buffer.concat(chunks);
      }
      chunks.push(chunk.subarray(0, bytesRead));
      done += bytesRead;
      if (done > maxBytes) {
        throw refusal('EFBIG');
      }
    }
  } finally {
    await close(descriptor);
  }
}
