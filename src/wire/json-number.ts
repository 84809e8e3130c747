/** A number of a request as a reply spells it, from digits to digits (spec wire.md §4.2). */
import type { GrowingBytes } from './growing-bytes.ts';
import { ascii } from './json-scanner.ts';
import { encodeNumber } from './json-writer.ts';

/** A double keeps that many digits of a decimal number, whatever they are. */
const keptDigits = 15;
/** Only between these powers of ten: below, doubles have fewer digits, and above, there may be none. */
const [leastPower, greatestPower] = [-306, 307];
/** Values below 10 to this power are zero. */
const zeroPower = -330;
/** The longest spelling of a double, and a sign. */
const longest = 26;

const digits = new Uint8Array(keptDigits);

/**
 * Adds the shortest spelling of the double nearest to the number `source[from, to)`, which is a strict JSON number.
 * @returns `false` when the number overflows a double
 */
export function addNumber(target: GrowingBytes, source: Buffer, from: number, to: number): boolean {
  target.ensure(longest);
  const isNegative = source[from] === ascii.minus;
  /** Digits from the first that is not 0 to the last that is not; zeros behind it are held back until another digit comes. */
  let count = 0;
  let zeros = 0;
  /** The value is 0.<digits> times ten to this power. */
  let power = 0;
  let isFraction = false;
  let at = isNegative ? from + 1 : from;
  for (; at < to; at++) {
    const byte = source[at] ?? 0;
    if (byte === ascii.dot) {
      isFraction = true;
      continue;
    }
    if (byte < ascii.zero || byte > ascii.nine) {
      break;
    }
    if (count === 0 && byte === ascii.zero) {
      power -= isFraction ? 1 : 0;
      continue;
    }
    power += isFraction ? 0 : 1;
    if (byte === ascii.zero) {
      zeros++;
      continue;
    }
    if (count + zeros >= keptDigits) {
      return addByDouble(target, source, from, to);
    }
    for (; zeros > 0; zeros--) {
      digits[count++] = ascii.zero;
    }
    digits[count++] = byte;
  }
  if (count > 0 && at < to) {
    power += exponent(source, at + 1, to);
  }
  if (count > 0 && (power > greatestPower || (power < leastPower && power >= zeroPower))) {
    return addByDouble(target, source, from, to);
  }
  if (isNegative) {
    target.put(ascii.minus);
  }
  if (count === 0 || power < zeroPower) {
    target.put(ascii.zero);
  } else {
    putDigits(target, count, power);
  }
  return true;
}

/** Of digits behind an optional sign; one that is beyond all doubles may be any other such. */
function exponent(source: Buffer, from: number, to: number): number {
  const sign = source[from];
  let value = 0;
  for (let at = sign === ascii.minus || sign === ascii.plus ? from + 1 : from; at < to; at++) {
    value = value * 10 + ((source[at] ?? 0) - ascii.zero);
  }
  return sign === ascii.minus ? -value : value;
}

/** The rule of ECMAScript's `Number::toString`, which is the contract's. */
function putDigits(target: GrowingBytes, count: number, power: number): void {
  if (power > -6 && power <= 21) {
    if (power <= 0) {
      target.putText('0.');
    }
    for (let place = Math.min(power, 0); place < Math.max(count, power); place++) {
      if (place === power && power > 0) {
        target.put(ascii.dot);
      }
      target.put(place >= 0 && place < count ? (digits[place] ?? 0) : ascii.zero);
    }
    return;
  }
  target.put(digits[0] ?? 0);
  if (count > 1) {
    target.put(ascii.dot);
    for (let place = 1; place < count; place++) {
      target.put(digits[place] ?? 0);
    }
  }
  target.put(0x65);
  target.put(power > 0 ? ascii.plus : ascii.minus);
  target.putText(String(Math.abs(power - 1)));
}

function addByDouble(target: GrowingBytes, source: Buffer, from: number, to: number): boolean {
  const value = Number(source.toString('latin1', from, to));
  if (!Number.isFinite(value)) {
    return false;
  }
  target.putText(encodeNumber(value));
  return true;
}
