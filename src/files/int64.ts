/** A decimal number of 64 bits as archives write it in text: digits, perhaps with a sign. @returns `undefined` for other text */
export function int64Of(text: string): bigint | undefined {
  // A bigint is made of few digits only: leading zeros may be as many as the writer likes.
  const [, sign, digits] = /^([+-]?)0*(\d{1,19})$/.exec(text) ?? [];
  if (digits === undefined) {
    return undefined;
  }
  const value = sign === '-' ? -BigInt(digits) : BigInt(digits);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}
