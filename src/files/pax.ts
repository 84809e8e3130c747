/** Records of a PAX extended header, as bytes: names need not be UTF-8 and may hold line ends. */
import { invalidTarHeader } from './archive-error.ts';
import { decimalOf } from './decimal.ts';

/** By key; keys are bytes written as latin1 characters. An empty value counts as not given. */
export type PaxRecords = ReadonlyMap<string, Buffer>;

const space = 0x20;
const equals = 0x3d;
const lineEnd = 0x0a;
/** Of the shortest record there is, `5 k=\n`. */
const leastLength = 5n;

/** Keys whose values are names, where a NUL would hide what stands behind it. */
const names = ['path', 'linkpath', 'uname', 'gname'];

/**
 * Reads `<length> <key>=<value>\n` records; a later one replaces an earlier one.
 * @throws ArchiveError
 */
export function readPax(bytes: Buffer): PaxRecords {
  const records = new Map<string, Buffer>();
  /** Numbers of the records that version 0.0 of GNU's sparse format repeats for each piece. */
  const sparse: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const lengthEnd = bytes.indexOf(space, at);
    const length = lengthEnd === -1 ? 0n : decimalOf(bytes.toString('latin1', at, lengthEnd));
    if (length < leastLength || length > bytes.length - at) {
      throw invalidTarHeader();
    }
    const end = at + Number(length);
    const split = bytes.indexOf(equals, lengthEnd);
    if (end <= lengthEnd + 1 || bytes[end - 1] !== lineEnd || split <= lengthEnd + 1 || split >= end - 1) {
      throw invalidTarHeader();
    }
    const key = bytes.toString('latin1', lengthEnd + 1, split);
    const value = bytes.subarray(split + 1, end - 1);
    if (names.includes(key) ? value.includes(0) : key.includes('\0')) {
      throw invalidTarHeader();
    }
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      const expected = sparse.length % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes';
      const number = value.toString('latin1');
      if (key !== expected || number.includes(',')) {
        throw invalidTarHeader();
      }
      sparse.push(number);
    } else {
      records.set(key, value);
    }
    at = end;
  }
  if (sparse.length > 0) {
    records.set('GNU.sparse.map', Buffer.from(sparse.join(','), 'latin1'));
  }
  return records;
}

/** A record's value; `undefined` when there is none or it is empty. */
export function nonEmptyValue(records: PaxRecords, key: string): Buffer | undefined {
  const value = records.get(key);
  return value?.length === 0 ? undefined : value;
}

/** The record `size`. @throws ArchiveError when it, or any other record that should be a number, is none */
export function checkedSize(records: PaxRecords): bigint | undefined {
  numericRecord(records, 'uid');
  numericRecord(records, 'gid');
  for (const key of ['mtime', 'atime', 'ctime']) {
    refuseWrongTime(nonEmptyValue(records, key)?.toString('latin1'));
  }
  return numericRecord(records, 'size');
}

function numericRecord(records: PaxRecords, key: string): bigint | undefined {
  const value = nonEmptyValue(records, key);
  return value && decimalOf(value.toString('latin1'));
}

/** Seconds, perhaps with a fraction of any length. */
function refuseWrongTime(text: string | undefined): void {
  if (text === undefined) {
    return;
  }
  const [, seconds] = /^([^.]*)(?:\.\d*)?$/.exec(text) ?? [];
  if (seconds === undefined) {
    throw invalidTarHeader();
  }
  decimalOf(seconds);
}
