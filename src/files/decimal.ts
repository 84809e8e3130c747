import { invalidTarHeader } from './archive-error.ts';

/** A number of 64 bits as archives write it in text: decimal digits, perhaps with a sign. @throws ArchiveError for any other text */
export function decimalOf(text: string): bigint {
  // Only a few digits are given to BigInt, which is slow with many: leading zeros may be as many as the writer likes.
  const [, sign, digits] = /^([+-]?)0*(\d{1,19})$/.exec(text) ?? [];
  if (digits === undefined) {
    throw invalidTarHeader();
  }
  const value = sign === '-' ? -BigInt(digits) : BigInt(digits);
  if (BigInt.asIntN(64, value) !== value) {
    throw invalidTarHeader();
  }
  return value;
}
