/**
 * Random bytes from the system, for names and ids that nobody is to guess. `node:crypto` asks a generator of its own, and would
 * be loaded for this alone: 0.4 MB of each idle daemon (docs/performance.md "Where a target is missed").
 */
import * as libc from '../../native-bindings/libc.ts';
import { SystemCallError } from '../errors.ts';
import { errnoName } from './paths.ts';

/**
 * @param bytes 256 at most
 * @returns two hexadecimal digits for each byte
 * @throws SystemCallError where the system has none to give
 */
export function randomHex(bytes: number): string {
  const random = Buffer.alloc(bytes);
  if (libc.getentropy(random, bytes) !== 0) {
    throw new SystemCallError('getentropy', errnoName(libc.errno()));
  }
  return random.toString('hex');
}
