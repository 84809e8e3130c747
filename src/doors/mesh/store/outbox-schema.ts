/** The table of messages to send (spec mesh.md §7). Later generations of the original have the same one. */
import type { TableSchema } from './database.ts';

export const outboxStatuses = ['pending', 'inflight', 'done', 'dead', 'aborted'] as const;
export type OutboxStatus = (typeof outboxStatuses)[number];

export const outboxSchema: TableSchema = {
  table: 'outbox',
  columns: [
    'id TEXT PRIMARY KEY',
    'client_message_id TEXT NOT NULL UNIQUE',
    'request_fingerprint BLOB NOT NULL',
    'payload BLOB NOT NULL',
    'enqueued_at INTEGER NOT NULL',
    'attempts INTEGER NOT NULL DEFAULT 0',
    'next_attempt_at INTEGER NOT NULL',
    `status TEXT NOT NULL CHECK (status IN (${outboxStatuses.map((status) => `'${status}'`).join(', ')}))`,
    'last_error TEXT',
    'delivered_at INTEGER',
    'broker_message_id TEXT',
    'aborted_at INTEGER',
    'aborted_by TEXT',
    'superseded_by TEXT',
  ],
  laterColumns: [
    ...['mesh TEXT', 'target_spec TEXT', 'nonce TEXT', 'ciphertext TEXT'],
    ...['priority TEXT', 'sender_session_pubkey TEXT'],
  ],
  uniqueColumn: 'client_message_id',
  indices: [
    'CREATE INDEX IF NOT EXISTS outbox_status_next_attempt ON outbox (status, next_attempt_at)',
    "CREATE INDEX IF NOT EXISTS outbox_aborted ON outbox (status, aborted_at) WHERE status = 'aborted'",
    // Names that no other generation has, because our queries ask for these very indices.
    // Pending rows in the order in which they were accepted, without a look at the many that are done.
    "CREATE INDEX IF NOT EXISTS holdfast_outbox_pending ON outbox (status) WHERE status = 'pending'",
    // All that the search for due rows asks, so that ten thousand rows for a peer that is away are passed without being read.
    "CREATE INDEX IF NOT EXISTS holdfast_outbox_targets ON outbox (next_attempt_at, mesh, target_spec) WHERE status = 'pending'",
  ],
};
