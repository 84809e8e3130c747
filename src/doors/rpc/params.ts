/** Typed reading of `params` (spec wire.md §5, table "declared type"). Numbers keep their spelling until they are typed. */

import type { JsonSlice } from '../../wire/json.ts';
import { KeyTable } from '../../wire/json-keys.ts';
import { ascii, JsonScanner } from '../../wire/json-scanner.ts';
import type { Steps } from '../../wire/steps.ts';
import { RpcError } from './errors.ts';

/** Turns untrusted params into a typed value, or never looks at them. */
export type Schema<T> = ReadingSchema<T> | { readonly always: T };

export interface ReadingSchema<T> {
  /** @throws RpcError with the wire text of the refusal */
  read(params: JsonSlice | undefined): Steps<T>;
}

/** What stands where something else is declared. */
export interface Mistyped {
  /** The declared member; `undefined`: `params` itself is no object. */
  readonly member: string | undefined;
  /** Whether it is an element or value inside that member. */
  readonly inside: boolean;
  readonly found: 'string' | 'number' | 'bool' | 'array' | 'object';
  /** The literal as it was sent, for numbers; else `''`. */
  readonly numberText: string;
}

/** Thrown by a field that stands on a wrong value; `object` knows the member's name and makes the refusal of it. */
class WrongType extends Error {}
/** Always the same one: a line may have a hundred thousand wrong values, and the trace of the stack is what would cost most. */
const wrongType = new WrongType();

/** Reads the value at the scanner's position, which is not `null`, and moves past it; or throws in front of the wrong value. */
type Reading<T> =
  | { readonly read: (scanner: JsonScanner) => T }
  | { readonly readInSteps: (scanner: JsonScanner) => Steps<T> };

/** A declared member. */
export type Field<T> = Reading<T> & {
  /** Whether a `null` takes back what an earlier repeat of the member said; plain texts and ints keep it. */
  readonly nullClears: boolean;
};

type Fields = Readonly<Record<string, Field<unknown>>>;

/** `undefined`: the member is absent or `null`. */
type Values<F extends Fields> = { readonly [K in keyof F]: (F[K] extends Field<infer T> ? T : never) | undefined };

export interface ObjectOptions {
  /** What absent params mean; by default they are refused. `null` always counts as `{}`. */
  readonly whenAbsent?: 'refused' | 'empty';
  /** The refusal of a wrong type; by default `Invalid params`. */
  readonly refusal?: (mistyped: Mistyped) => RpcError;
}

function invalidParams(): RpcError {
  return new RpcError('invalidParams', 'Invalid params');
}

/** Params as an object with these members, in any order, all optional; others are ignored whatever their type. */
export function object<F extends Fields>(fields: F, options: ObjectOptions = {}): ReadingSchema<Values<F>> {
  const { whenAbsent = 'refused', refusal = invalidParams } = options;
  const names = Object.keys(fields);
  const members = Object.entries(fields).map(([name, field]) => ({ name, field }));
  const keys = new KeyTable(names);
  const noValues = Object.fromEntries(names.map((name) => [name, undefined]));

  function* read(params: JsonSlice | undefined): Steps<Values<F>> {
    const values: Record<string, unknown> = { ...noValues };
    if (params === undefined) {
      if (whenAbsent === 'refused') {
        throw invalidParams();
      }
      return values as Values<F>;
    }
    // The slice is strict JSON, so what is scanned here cannot fail.
    const scanner = new JsonScanner(params.bytes, params.start, params.end);
    const first = scanner.peek();
    if (first === ascii.n) {
      return values as Values<F>;
    }
    if (first !== ascii.openBrace) {
      throw refusal(describe(scanner, undefined, false));
    }
    scanner.position++;
    let more = !scanner.take(ascii.closeBrace);
    while (more) {
      scanner.scanKey();
      const index = keys.find(scanner);
      const member = index === -1 ? undefined : members[index];
      if (member === undefined) {
        yield* scanner.scanValue(0);
      } else if (scanner.peek() !== ascii.n) {
        values[member.name] = yield* readMember(member, scanner);
      } else {
        scanner.scanLiteral('null');
        if (member.field.nullClears) {
          values[member.name] = undefined;
        }
      }
      if (scanner.endsStep()) {
        yield;
      }
      more = scanner.take(ascii.comma);
    }
    return values as Values<F>;
  }

  function* readMember({ name, field }: { name: string; field: Field<unknown> }, scanner: JsonScanner): Steps<unknown> {
    const start = scanner.position;
    try {
      return 'read' in field ? field.read(scanner) : yield* field.readInSteps(scanner);
    } catch (error) {
      throw error instanceof WrongType ? refusal(describe(scanner, name, scanner.position > start)) : error;
    }
  }

  return { read };
}

/** For methods that never look at their params. */
export const noParams: Schema<undefined> = { always: undefined };

export function string(): Field<string> {
  return { read: readString, nullClears: false };
}

export function bool(): Field<boolean> {
  return {
    read(scanner) {
      if (scanner.scanLiteral('true')) {
        return true;
      }
      if (scanner.scanLiteral('false')) {
        return false;
      }
      throw wrongType;
    },
    nullClears: true,
  };
}

/** An integer literal of 64 bits with sign. A bigint, because no value in the range may change on the way to its method. */
export function int64(): Field<bigint> {
  return { read: (scanner) => readInteger(scanner, -(2n ** 63n), 2n ** 63n - 1n, true), nullClears: false };
}

/** An integer literal of 64 bits without sign; `-0` has one. */
export function uint64(): Field<bigint> {
  return { read: (scanner) => readInteger(scanner, 0n, 2n ** 64n - 1n, false), nullClears: true };
}

/** A `null` element is the empty string. */
export function stringArray(): Field<string[]> {
  return { readInSteps: readStringArray, nullClears: true };
}

/** In the order in which each key came first; a repeat replaces the value, a `null` value is the empty string. */
export function stringMap(): Field<Map<string, string>> {
  return { readInSteps: readStringMap, nullClears: true };
}

/** A member that means something only beside another one: a wrong type is refused when it is asked for, and not before. */
export function ifAsked<T>(field: Field<T>): Field<() => T> {
  return {
    *readInSteps(scanner) {
      const start = scanner.position;
      try {
        const value = 'read' in field ? field.read(scanner) : yield* field.readInSteps(scanner);
        return () => value;
      } catch (error) {
        if (!(error instanceof WrongType)) {
          throw error;
        }
        scanner.goBack(start);
        yield* scanner.scanValue(0);
        return () => {
          throw invalidParams();
        };
      }
    },
    nullClears: field.nullClears,
  };
}

function readString(scanner: JsonScanner): string {
  if (!scanner.scanString()) {
    throw wrongType;
  }
  return scanner.text();
}

function readStringOrNull(scanner: JsonScanner): string {
  return scanner.scanLiteral('null') ? '' : readString(scanner);
}

/** Digits and sign of the longest literal in range; longer ones are not worth converting. */
const longestInteger = 20;

function readInteger(scanner: JsonScanner, least: bigint, most: bigint, signed: boolean): bigint {
  const start = scanner.position;
  const hasSign = scanner.peek() === ascii.minus;
  if (
    scanner.scanNumber() &&
    scanner.numberIsInteger &&
    scanner.position - start <= longestInteger &&
    (signed || !hasSign)
  ) {
    const value = BigInt(scanner.bytes.toString('latin1', start, scanner.position));
    if (value >= least && value <= most) {
      return value;
    }
  }
  scanner.position = start;
  throw wrongType;
}

function* readStringArray(scanner: JsonScanner): Steps<string[]> {
  if (scanner.peek() !== ascii.openBracket) {
    throw wrongType;
  }
  scanner.position++;
  const elements: string[] = [];
  if (scanner.take(ascii.closeBracket)) {
    return elements;
  }
  do {
    if (scanner.endsStep()) {
      yield;
    }
    scanner.skipSpace();
    elements.push(readStringOrNull(scanner));
  } while (scanner.take(ascii.comma));
  scanner.take(ascii.closeBracket);
  return elements;
}

function* readStringMap(scanner: JsonScanner): Steps<Map<string, string>> {
  if (scanner.peek() !== ascii.openBrace) {
    throw wrongType;
  }
  scanner.position++;
  const entries = new Map<string, string>();
  if (scanner.take(ascii.closeBrace)) {
    return entries;
  }
  do {
    if (scanner.endsStep()) {
      yield;
    }
    scanner.scanKey();
    const key = scanner.text();
    entries.set(key, readStringOrNull(scanner));
  } while (scanner.take(ascii.comma));
  scanner.take(ascii.closeBrace);
  return entries;
}

function describe(scanner: JsonScanner, member: string | undefined, inside: boolean): Mistyped {
  const start = scanner.position;
  const found = kinds.get(scanner.peek()) ?? 'number';
  if (found !== 'number') {
    return { member, inside, found, numberText: '' };
  }
  scanner.scanNumber();
  return { member, inside, found, numberText: scanner.bytes.toString('latin1', start, scanner.position) };
}

/** By the first byte; numbers have several. */
const kinds: ReadonlyMap<number, Mistyped['found']> = new Map([
  [ascii.quote, 'string'],
  [ascii.openBracket, 'array'],
  [ascii.openBrace, 'object'],
  [ascii.t, 'bool'],
  [ascii.f, 'bool'],
]);
