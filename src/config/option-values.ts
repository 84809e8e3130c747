/** How a value is spelled on the command line and in a configuration file (spec modes.md §1, §3). */
import { parseDuration } from '../base/durations.ts';
import type { Profile } from '../wire/profile.ts';
import { profileNamed } from '../wire/profiles.ts';

/** One way of writing values. `undefined` from a reader means: refused. */
export interface ValueKind<T> {
  /** Placeholder in the usage text; empty for a switch that stands alone. */
  readonly placeholder: string;
  /** Completes "want ..." in a warning about a refused value. */
  readonly want: string;
  /** Why a word of the command line was refused, as the contract words it. */
  readonly refusal: string;
  fromCommandLine(text: string): T | undefined;
  /** Where a file spells values differently. */
  fromFile(text: string): T | undefined;
}

const parseError = 'parse error';

const largestInt64 = 2n ** 63n - 1n;

/**
 * Signed decimal within 64 bits. What a JavaScript number cannot hold exactly becomes the largest that it can: such a
 * bound (nine petabytes) is never reached either.
 */
function integer(text: string): number | undefined {
  if (!/^[+-]?[0-9]{1,40}$/.test(text)) {
    return undefined;
  }
  const value = BigInt(text.replace(/^\+/, ''));
  if (value > largestInt64 || value < -largestInt64 - 1n) {
    return undefined;
  }
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(value)));
}

function notNegative(value: number | undefined): number | undefined {
  return value === undefined || value < 0 ? undefined : value;
}

function wordIn(yes: readonly string[], no: readonly string[], text: string): boolean | undefined {
  if (yes.includes(text)) {
    return true;
  }
  return no.includes(text) ? false : undefined;
}

export const bool: ValueKind<boolean> = {
  placeholder: '',
  want: 'true, 1, yes, on, false, 0, no or off',
  refusal: parseError,
  fromCommandLine: (text) =>
    wordIn(['1', 't', 'T', 'true', 'TRUE', 'True'], ['0', 'f', 'F', 'false', 'FALSE', 'False'], text),
  fromFile: (text) => wordIn(['true', '1', 'yes', 'on'], ['false', '0', 'no', 'off'], text.toLowerCase()),
};

export const int: ValueKind<number> = {
  placeholder: 'n',
  want: 'a decimal number, 0 or more',
  refusal: parseError,
  fromCommandLine: integer,
  fromFile: (text) => (/^[0-9]+$/.test(text) ? integer(text) : undefined),
};

/** Milliseconds. */
export const duration: ValueKind<number> = {
  placeholder: 'duration',
  want: 'a duration such as 300ms, 30s, 1h30m, or 0',
  refusal: parseError,
  fromCommandLine: parseDuration,
  fromFile: (text) => notNegative(parseDuration(text)),
};

export const string: ValueKind<string> = {
  placeholder: 'text',
  want: 'text without control characters',
  refusal: parseError,
  fromCommandLine: (text) => text,
  fromFile: (text) => (/[\u0000-\u001f\u007f]/.test(text) ? undefined : text),
};

export const address: ValueKind<string> = {
  ...string,
  placeholder: 'host:port',
  want: 'printable ASCII',
  fromFile: (text) => (/^[\x20-\x7e]*$/.test(text) ? text : undefined),
};

export const profile: ValueKind<Profile> = {
  placeholder: 'S|current|next|latest',
  want: 'S, current, next or latest',
  refusal: 'want S, current, next or latest',
  fromCommandLine: profileNamed,
  fromFile: profileNamed,
};

/** What happens to a client that reads more slowly than its process writes (spec wire.md §2 "steady reader"). */
export type SlowReader = 'pace' | 'drop';

const slowReaderNamed = (text: string): SlowReader | undefined =>
  text === 'pace' || text === 'drop' ? text : undefined;

export const slowReader: ValueKind<SlowReader> = {
  placeholder: 'pace|drop',
  want: 'pace or drop',
  refusal: 'want pace or drop',
  fromCommandLine: slowReaderNamed,
  fromFile: slowReaderNamed,
};

/** The object id of a commit, lower case. */
export const commit: ValueKind<string> = {
  ...string,
  want: '40 or 64 hexadecimal digits',
  fromFile: (text) => (/^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$/.test(text) ? text.toLowerCase() : undefined),
};
