/** Typed reading of rows. SQLite columns hold values of any type, and the file may be another program's: each value is checked. */
import type { Row } from './database.ts';

/** A row whose values are not what its columns are for. */
export class BadRow extends Error {
  override readonly name = 'BadRow';
}

export function textIn(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') {
    throw new BadRow(`${column} is no text`);
  }
  return value;
}

export function nullableTextIn(row: Row, column: string): string | null {
  return row[column] === null ? null : textIn(row, column);
}

/** Counts, and milliseconds since the epoch. */
export function integerIn(row: Row, column: string): number {
  const value = row[column];
  const number = typeof value === 'bigint' ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) {
    throw new BadRow(`${column} is no integer`);
  }
  return number;
}

export function bytesIn(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) {
    throw new BadRow(`${column} is no blob`);
  }
  return value;
}

/** A time as ISO 8601 in UTC. */
export function timeIn(row: Row, column: string): string {
  const time = new Date(integerIn(row, column));
  if (Number.isNaN(time.getTime())) {
    throw new BadRow(`${column} is no time`);
  }
  return time.toISOString();
}

export function nullableTimeIn(row: Row, column: string): string | null {
  return row[column] === null ? null : timeIn(row, column);
}

/** The rows that can be read, in their order. */
export function readable<Result>(rows: readonly Row[], read: (row: Row) => Result): Result[] {
  return rows.flatMap((row) => {
    try {
      return [read(row)];
    } catch (error) {
      if (error instanceof BadRow) {
        return [];
      }
      throw error;
    }
  });
}
