/** One SQLite file of the mesh door: opened owner-only, checked, never trusted blindly (spec mesh.md §7). */
import { chmodSync, closeSync, constants, fchmodSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { messageOf } from '../../../base/error-texts.ts';

/** SQLite's primary result codes (sqlite3.h). */
const sqliteError = 1;
const sqliteReadOnly = 8;
const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;

/** The file is damaged, or is a database of something else. */
export class CorruptDatabase extends Error {
  override readonly name = 'CorruptDatabase';
}

export interface TableSchema {
  readonly table: string;
  /** `<name> <type and constraints>` of every column, in order. */
  readonly columns: readonly string[];
  /** Columns of later generations, added to a table that lacks them. All may be null. */
  readonly laterColumns: readonly string[];
  /** The column whose values no two rows share: what the promises about duplicates stand on. */
  readonly uniqueColumn: string;
  readonly indices: readonly string[];
}

export interface DatabaseOptions {
  readonly path: string;
  /** `FULL`: a commit survives a power cut. `NORMAL`: it survives the death of this process. */
  readonly synchronous: 'FULL' | 'NORMAL';
  readonly schema: TableSchema;
}

/** Rows as SQLite gives them. Integers are `bigint`, because a foreign file may hold any 64 bits; row.ts makes them numbers. */
export type Row = Readonly<Record<string, unknown>>;

export class Database {
  readonly #connection: DatabaseSync;

  private constructor(connection: DatabaseSync) {
    this.#connection = connection;
  }

  /**
   * Opens the file, or makes it, and adds what its table lacks.
   * @throws CorruptDatabase for a damaged file, Node's error for everything else (no space, no permission)
   */
  static open({ path, synchronous, schema }: DatabaseOptions): Database {
    makeOwnerOnly(path);
    return tellingDamage(() => {
      const connection = new DatabaseSync(path);
      try {
        // First, because without it a second program that looks at the file makes the next line fail.
        connection.exec('PRAGMA busy_timeout = 5000');
        connection.exec('PRAGMA trusted_schema = OFF');
        connection.exec('PRAGMA cell_size_check = ON');
        requireIntegrity(connection);
        // Read before the first write: a file that is refused is left as it is.
        const missing = missingParts(connection, schema);
        connection.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA foreign_keys = ON`);
        for (const part of missing) {
          connection.exec(part);
        }
        return new Database(connection);
      } catch (error) {
        connection.close();
        throw error;
      }
    });
  }

  /** Only while the store is being made: a statement that does not fit the file's table counts as damage. */
  prepare(sql: string): Statement {
    return tellingDamage(() => {
      const statement = this.#connection.prepare(sql);
      statement.setReadBigInts(true);
      return new Statement(statement);
    });
  }

  /**
   * All of `work` or nothing of it. The writer's place is taken first, so nothing that `work` has read changes before it writes.
   * @throws what `work` or the commit throws, after everything has been undone
   */
  transaction<Result>(work: () => Result): Result {
    this.#connection.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#connection.exec('COMMIT');
      return result;
    } catch (error) {
      // Some failures (a full disk) have ended the transaction already.
      if (this.#connection.isTransaction) {
        this.#connection.exec('ROLLBACK');
      }
      throw error;
    }
  }

  close(): void {
    this.#connection.close();
  }
}

export class Statement {
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
  }

  get(...values: readonly SQLInputValue[]): Row | undefined {
    return this.#statement.get(...values);
  }

  all(...values: readonly SQLInputValue[]): readonly Row[] {
    return this.#statement.all(...values);
  }

  /** One row after the other, so that whoever has enough of them reads no further. */
  iterate(...values: readonly SQLInputValue[]): Iterable<Row> {
    return this.#statement.iterate(...values);
  }

  /** @returns how many rows it has changed */
  run(...values: readonly SQLInputValue[]): number {
    return Number(this.#statement.run(...values).changes);
  }
}

/** SQLite gives `-wal` and `-shm` the mode of the file they belong to. */
function makeOwnerOnly(path: string): void {
  const { O_RDWR, O_CREAT, O_NOFOLLOW = 0 } = constants;
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    // Whatever the umask, and also for a file that an earlier generation made readable by others.
    fchmodSync(descriptor, 0o600);
  } finally {
    closeSync(descriptor);
  }
  for (const companion of [`${path}-wal`, `${path}-shm`]) {
    try {
      chmodSync(companion, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw error;
      }
    }
  }
}

function requireIntegrity(connection: DatabaseSync): void {
  const [first] = connection.prepare('PRAGMA integrity_check(1)').all();
  if (first?.integrity_check !== 'ok') {
    throw new CorruptDatabase(String(first?.integrity_check));
  }
}

/** SQL that makes the table, or adds what it lacks. @throws CorruptDatabase when it is another table than ours */
function missingParts(connection: DatabaseSync, schema: TableSchema): readonly string[] {
  const { table, columns, laterColumns, indices } = schema;
  const tables = namesFrom(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'");
  if (tables.size === 0) {
    return [`CREATE TABLE ${table} (${[...columns, ...laterColumns].join(', ')})`, ...indices];
  }
  // A new table beside others would hide that the rows are still there under a damaged name.
  if (!tables.has(table)) {
    throw new CorruptDatabase(`no table ${table}, but others`);
  }
  const present = namesFrom(connection, `PRAGMA table_info(${table})`);
  const isMissing = (column: string): boolean => !present.has(column.split(' ')[0]);
  const lacking = columns.filter(isMissing);
  if (lacking.length > 0) {
    throw new CorruptDatabase(`table ${table} lacks ${lacking.join(', ')}`);
  }
  requireUnique(connection, schema);
  return [...laterColumns.filter(isMissing).map((column) => `ALTER TABLE ${table} ADD COLUMN ${column}`), ...indices];
}

function namesFrom(connection: DatabaseSync, sql: string): ReadonlySet<unknown> {
  const rows = connection.prepare(sql).all();
  return new Set(rows.map(({ name }) => name));
}

function requireUnique(connection: DatabaseSync, { table, uniqueColumn }: TableSchema): void {
  const unique = connection
    .prepare(
      `SELECT 1 FROM pragma_index_list('${table}') AS list
       WHERE list."unique" = 1 AND list.partial = 0
         AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = '${uniqueColumn}'`,
    )
    .get();
  if (unique === undefined) {
    throw new CorruptDatabase(`${uniqueColumn} of table ${table} is not unique`);
  }
}

/**
 * Turns SQLite's ways to say "damaged" into one. An SQL error counts too, because our SQL is right and so the file's schema is not;
 * and "read-only", because the file has just been opened for writing and only its header can say otherwise.
 */
function tellingDamage<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    const code = Number((error as { readonly errcode?: unknown }).errcode);
    const isDamage = [sqliteError, sqliteCorrupt, sqliteNotADatabase].includes(code & 0xff) || code === sqliteReadOnly;
    if (isDamage) {
      throw new CorruptDatabase(messageOf(error), { cause: error });
    }
    throw error;
  }
}
