/** Records of a PAX extended header, as bytes: names need not be UTF-8 and may hold line ends. */
import { invalidTarHeader } from './archive-error.ts';
import { int64Of } from './int64.ts';

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
    const length = lengthEnd === -1 ? undefined : int64Of(bytes.toString('latin1', at, lengthEnd));
    if (length === undefined || length < leastLength || length > bytes.length - at) {
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
export function given(records: PaxRecords, key: string): Buffer | undefined {
  const value = records.get(key);
  return value?.length === 0 ? undefined : value;
}

/** The size of the content as the records give it. @throws ArchiveError when this or any other number is none */
export function checkedSize(records: PaxRecords): bigint | undefined {
  for (const key of ['uid', 'gid']) {
    numberOf(given(records, key));
  }
  for (const key of ['mtime', 'atime', 'ctime']) {
    const time = given(records, key)?.toString('latin1');
    if (time !== undefined && !isTime(time)) {
      throw invalidTarHeader();
    }
  }
  return numberOf(given(records, 'size'));
}

function numberOf(value: Buffer | undefined): bigint | undefined {
  const number = value && int64Of(value.toString('latin1'));
  if (value !== undefined && number === undefined) {
    throw invalidTarHeader();
  }
  return number;
}

/** Seconds, perhaps with a fraction of any length. */
function isTime(text: string): boolean {
  const [, seconds] = /^([^.]*)(?:\.\d*)?$/.exec(text) ?? [];
  return seconds !== undefined && int64Of(seconds) !== undefined;
}
