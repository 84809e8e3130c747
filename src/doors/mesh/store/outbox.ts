/** Messages to send, from their 202 to their delivery. A row, once written, is never deleted (spec mesh.md §7). */
import { randomUUID } from 'node:crypto';
import type { OutgoingMessage } from '../broker/broker.ts';
import { Database, type Row, type Statement } from './database.ts';
import { type OutboxStatus, outboxSchema, outboxStatuses } from './outbox-schema.ts';
import { BadRow, bytesIn, integerIn, nullableTextIn, nullableTimeIn, readable, textIn, timeIn } from './row.ts';

export interface NewMessage {
  readonly clientMessageId: string;
  readonly fingerprint: Uint8Array;
  readonly payload: Uint8Array;
  readonly mesh: string;
  readonly target: string;
  readonly priority: OutgoingMessage['priority'];
}

/** What is known of an idempotency key. */
export interface KnownKey {
  readonly status: OutboxStatus;
  readonly fingerprint: Uint8Array;
  readonly brokerMessageId: string | null;
  readonly lastError: string | null;
}

/** A row whose turn it is. */
export interface DueRow {
  readonly id: string;
  /** How often it has been tried before. */
  readonly attempts: number;
  /** Milliseconds since the epoch. */
  readonly enqueuedAt: number;
  /** `undefined`: an earlier generation, which sent every row to everybody, did not keep for whom it was. */
  readonly target: string | undefined;
  readonly message: Omit<OutgoingMessage, 'target'>;
}

export interface Delivery {
  readonly brokerMessageId: string;
  readonly nonce: string;
  readonly ciphertext: string;
}

export interface Requeue {
  readonly id: string;
  readonly newClientMessageId: string;
  readonly abortedBy: string;
}

const newRow = `INSERT INTO outbox (id, client_message_id, request_fingerprint, payload, enqueued_at, attempts, next_attempt_at,
  status, mesh, target_spec, priority)`;

/** Columns of the list; the payload itself is never listed. */
const listed = `SELECT id, client_message_id, status, attempts, enqueued_at, next_attempt_at, delivered_at, broker_message_id,
  last_error, aborted_at, aborted_by, superseded_by, length(payload) AS payload_bytes FROM outbox`;

/** Pending, and between two attempts. A time farther away than any pause is none: the clock has been set back. */
const waits = 'next_attempt_at BETWEEN ?1 + 1 AND ?2';
const ofMesh = '(mesh IS NULL OR mesh = ?3)';

/** Targets with a row that waits. Values: now, now + longest pause, mesh. */
const heldTargets = `SELECT target_spec FROM outbox INDEXED BY holdfast_outbox_targets
  WHERE status = 'pending' AND ${waits} AND ${ofMesh} AND target_spec IS NOT NULL`;

const dueColumns = `SELECT id, client_message_id, request_fingerprint, payload, enqueued_at, attempts, target_spec, priority
  FROM outbox`;

/** Due rows in the order in which they were accepted, where no target is held. Values: as above, and limit. */
const due = `${dueColumns} INDEXED BY holdfast_outbox_pending
  WHERE status = 'pending' AND NOT (${waits}) AND ${ofMesh} ORDER BY rowid LIMIT ?4`;

/**
 * The same without the rows of held targets: a row waits for an older one to the same target that is between two attempts, so that
 * a receiver gets the messages of a sender in their order.
 */
const dueBesideHeld = `${dueColumns} WHERE rowid IN (
    SELECT rowid FROM outbox INDEXED BY holdfast_outbox_targets
    WHERE status = 'pending' AND NOT (${waits}) AND ${ofMesh}
      AND (target_spec IS NULL OR target_spec NOT IN (${heldTargets}))
    ORDER BY rowid LIMIT ?4)
  ORDER BY rowid`;

export class Outbox {
  readonly #database: Database;
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;

  /** @throws CorruptDatabase, or Node's error */
  constructor(path: string) {
    this.#database = Database.open({ path, synchronous: 'FULL', schema: outboxSchema });
    const prepared = Object.entries(sql).map(([name, text]) => [name, this.#database.prepare(text)]);
    this.#statements = Object.fromEntries(prepared) as Record<keyof typeof sql, Statement>;
  }

  /** All of it or nothing; on disk when this returns. */
  transaction<Result>(work: () => Result): Result {
    return this.#database.transaction(work);
  }

  /** @throws BadRow when the row under this key is not one of ours */
  find(clientMessageId: string): KnownKey | undefined {
    const row = this.#statements.find.get(clientMessageId);
    return row === undefined
      ? undefined
      : {
          status: statusIn(row),
          fingerprint: bytesIn(row, 'request_fingerprint'),
          brokerMessageId: nullableTextIn(row, 'broker_message_id'),
          lastError: nullableTextIn(row, 'last_error'),
        };
  }

  /** A pending row that is due at once. @returns its id */
  insert({ clientMessageId, fingerprint, payload, mesh, target, priority }: NewMessage, now: number): string {
    const id = randomUUID();
    this.#statements.insert.run(id, clientMessageId, fingerprint, payload, now, now, mesh, target, priority);
    return id;
  }

  /** There is such a row, and it is neither done nor aborted. */
  canRequeue(id: string): boolean {
    return this.#statements.canRequeue.get(id) !== undefined;
  }

  /** Aborts a row, and queues its message anew under a key that is not in use. @returns the id of the new row */
  requeue({ id, newClientMessageId, abortedBy }: Requeue, now: number): string {
    const newId = randomUUID();
    this.#statements.abort.run(now, abortedBy, newId, id);
    this.#statements.copy.run(newId, newClientMessageId, now, now, id);
    return newId;
  }

  /** Rows that were in flight when the process died: whether they have arrived is not known, so they are sent again. */
  recoverInflight(dueAt: number): number {
    return this.#statements.recover.run(dueAt);
  }

  /** Gives up pending rows older than `before`. @returns how many */
  expire(before: number): number {
    return this.#statements.expire.run(before);
  }

  /** @param longestPauseMs of rows that are tried again */
  due(mesh: string, limit: number, now: number, longestPauseMs: number): readonly DueRow[] {
    const values = [now, now + longestPauseMs, mesh] as const;
    const isAnyHeld = this.#statements.isAnyHeld.get(...values) !== undefined;
    const rows = (isAnyHeld ? this.#statements.dueBesideHeld : this.#statements.due).all(...values, limit);
    return rows.flatMap((row) => {
      try {
        return [dueRowOf(row)];
      } catch (error) {
        if (!(error instanceof BadRow) || typeof row.id !== 'string') {
          throw error;
        }
        // It would come back with every look, and be read no better.
        this.#statements.giveUp.run(`invalid row: ${error.message}`, row.id);
        return [];
      }
    });
  }

  /** Counts an attempt. @returns false when the row is no longer pending */
  markInflight(id: string): boolean {
    return this.#statements.markInflight.run(id) > 0;
  }

  /** The rows below must be in flight; one that was requeued meanwhile is left as it is. */
  markDone(id: string, { brokerMessageId, nonce, ciphertext }: Delivery, now: number): void {
    this.#statements.markDone.run(now, brokerMessageId, nonce, ciphertext, id);
  }

  markForRetry(id: string, error: string, dueAt: number): void {
    this.#statements.markForRetry.run(error, dueAt, id);
  }

  markDead(id: string, error: string): void {
    this.#statements.markDead.run(error, id);
  }

  /** A row that was not even tried. */
  giveUp(id: string, error: string): void {
    this.#statements.giveUp.run(error, id);
  }

  /** The newest rows, as `GET /v1/outbox` shows them. */
  list(status: OutboxStatus | undefined, limit: number): readonly Readonly<Record<string, unknown>>[] {
    const { list, listDone, listStatus } = this.#statements;
    const rows =
      status === undefined ? list.all(limit) : status === 'done' ? listDone.all(limit) : listStatus.all(status, limit);
    return readable(rows, (row) => ({
      id: textIn(row, 'id'),
      client_message_id: textIn(row, 'client_message_id'),
      status: textIn(row, 'status'),
      attempts: integerIn(row, 'attempts'),
      enqueued_at: timeIn(row, 'enqueued_at'),
      next_attempt_at: timeIn(row, 'next_attempt_at'),
      delivered_at: nullableTimeIn(row, 'delivered_at'),
      broker_message_id: nullableTextIn(row, 'broker_message_id'),
      last_error: nullableTextIn(row, 'last_error'),
      aborted_at: nullableTimeIn(row, 'aborted_at'),
      aborted_by: nullableTextIn(row, 'aborted_by'),
      superseded_by: nullableTextIn(row, 'superseded_by'),
      payload_bytes: integerIn(row, 'payload_bytes'),
    }));
  }

  close(): void {
    this.#database.close();
  }
}

const sql = {
  find: 'SELECT status, request_fingerprint, broker_message_id, last_error FROM outbox WHERE client_message_id = ?',
  insert: `${newRow} VALUES (?, ?, ?, ?, ?, 0, ?, 'pending', ?, ?, ?)`,
  canRequeue: "SELECT 1 FROM outbox WHERE id = ? AND status IN ('pending', 'inflight', 'dead')",
  abort: "UPDATE outbox SET status = 'aborted', aborted_at = ?, aborted_by = ?, superseded_by = ? WHERE id = ?",
  copy: `${newRow} SELECT ?, ?, request_fingerprint, payload, ?, 0, ?, 'pending', mesh, target_spec, priority
    FROM outbox WHERE id = ?`,
  recover: `UPDATE outbox SET status = 'pending', next_attempt_at = ?, last_error = 'recovered_inflight' WHERE status = 'inflight'`,
  expire: `UPDATE outbox SET status = 'dead', last_error = 'max_age_exceeded' WHERE status = 'pending' AND enqueued_at < ?`,
  isAnyHeld: `${heldTargets} LIMIT 1`,
  due,
  dueBesideHeld,
  markInflight: `UPDATE outbox SET status = 'inflight', attempts = attempts + 1 WHERE id = ? AND status = 'pending'`,
  markDone: `UPDATE outbox SET status = 'done', delivered_at = ?, broker_message_id = ?, nonce = ?, ciphertext = ?, last_error = NULL
    WHERE id = ? AND status = 'inflight'`,
  markForRetry: `UPDATE outbox SET status = 'pending', last_error = ?, next_attempt_at = ? WHERE id = ? AND status = 'inflight'`,
  markDead: `UPDATE outbox SET status = 'dead', last_error = ? WHERE id = ? AND status = 'inflight'`,
  giveUp: `UPDATE outbox SET status = 'dead', last_error = ? WHERE id = ? AND status = 'pending'`,
  list: `${listed} ORDER BY rowid DESC LIMIT ?`,
  // Nearly all rows are done, so the newest are found sooner without an index, which would have to be put in order first.
  listDone: `${listed} WHERE +status = 'done' ORDER BY rowid DESC LIMIT ?`,
  listStatus: `${listed} WHERE status = ? ORDER BY rowid DESC LIMIT ?`,
} as const;

function statusIn(row: Row): OutboxStatus {
  const text = textIn(row, 'status');
  const status = outboxStatuses.find((each) => each === text);
  if (status === undefined) {
    throw new BadRow(`the status ${text} is not known`);
  }
  return status;
}

function dueRowOf(row: Row): DueRow {
  const priority = nullableTextIn(row, 'priority');
  return {
    id: textIn(row, 'id'),
    attempts: integerIn(row, 'attempts'),
    enqueuedAt: integerIn(row, 'enqueued_at'),
    target: nullableTextIn(row, 'target_spec') ?? undefined,
    message: {
      clientMessageId: textIn(row, 'client_message_id'),
      requestFingerprint: Buffer.from(bytesIn(row, 'request_fingerprint')).toString('hex'),
      priority: priority === 'now' || priority === 'low' ? priority : 'next',
      payload: bytesIn(row, 'payload'),
    },
  };
}
