/** `holdfast.conf` and `claustrum.conf` beside the executable (spec modes.md §3 "Precedence"). */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../base/error-texts.ts';
import { goQuote, printable } from '../base/printable.ts';
import { decodeBytes } from '../wire/utf8.ts';
import { type ConfigurationFileName, configurationFileNames } from './configuration-file-names.ts';
import { type OptionName, type OptionValues, optionNamed, options } from './options.ts';

export interface ConfigurationFile {
  readonly name: ConfigurationFileName;
  readonly isThere: boolean;
  /** The last valid value of each key that has one. */
  readonly values: Partial<OptionValues>;
  readonly refusals: readonly Refusal[];
}

/** A value that was not taken, or, without `option`, a whole file. */
export interface Refusal {
  readonly option?: OptionName;
  /** One line for the log: which file and line, what stood there, what is wanted. */
  readonly text: string;
}

const largestFileBytes = 65_536;

/** Reads both files of `directory`. Never fails: whatever is wrong with a file is a refusal, and the defaults hold. */
export function readConfigurationFiles(directory: string): readonly ConfigurationFile[] {
  return configurationFileNames.map((name) => {
    const path = join(directory, name);
    let text: string | undefined;
    try {
      text = readSmallFile(path);
    } catch (error) {
      const reason = printable(messageOf(error), 200);
      return {
        name,
        isThere: true,
        values: {},
        refusals: [{ text: `${printable(path, 1024)} is ignored: ${reason}` }],
      };
    }
    return { name, isThere: text !== undefined, ...parseConfiguration(name, text ?? '') };
  });
}

/** @returns `undefined` when there is no such file @throws Error that says why it cannot be used */
export function readSmallFile(path: string): string | undefined {
  // Look before the open: opening a FIFO or a device can wait or have effects.
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    return undefined;
  }
  if (!found.isFile()) {
    throw new Error('it is not a regular file');
  }
  // The two flags do not exist on Windows; they close the gap between lstat and open.
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    if (!fstatSync(fd).isFile()) {
      throw new Error('it is not a regular file');
    }
    const buffer = Buffer.alloc(largestFileBytes + 1);
    let length = 0;
    for (let count = 1; count > 0 && length < buffer.length; length += count) {
      count = readSync(fd, buffer, length, buffer.length - length, length);
    }
    if (length > largestFileBytes) {
      throw new Error(`it is larger than the limit of ${largestFileBytes} bytes`);
    }
    return decodeBytes(buffer.subarray(0, length));
  } finally {
    closeSync(fd);
  }
}

export function parseConfiguration(file: string, text: string): Pick<ConfigurationFile, 'values' | 'refusals'> {
  const values: Partial<Record<OptionName, unknown>> = {};
  const refusals: Refusal[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    const equals = trimmed.indexOf('=');
    if (trimmed.startsWith('#') || equals < 0) {
      continue;
    }
    const name = optionNamed(trimmed.slice(0, equals).trimEnd().toLowerCase());
    if (name === undefined || !options[name].inFile) {
      continue;
    }
    const { kind } = options[name];
    const word = trimmed.slice(equals + 1).trimStart();
    // A path in another encoding cannot be named by our runtime; it would be another file.
    const value = word.isWellFormed() ? kind.fromFile(word) : undefined;
    if (value === undefined) {
      const [shown, want] = word.isWellFormed()
        ? [printable(word, 200), kind.want]
        : [goQuote(word.slice(0, 200)), 'text in UTF-8'];
      refusals.push({ option: name, text: `${file}:${index + 1}: ${name} = ${shown} is refused: want ${want}` });
    } else {
      values[name] = value;
    }
  }
  return { values: values as Partial<OptionValues>, refusals };
}
