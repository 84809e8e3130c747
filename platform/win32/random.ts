/** Random bytes, for names and ids that nobody is to guess. */
import { randomBytes } from 'node:crypto';

/** @returns two hexadecimal digits for each byte */
export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
