/** Messages that have arrived, each key once (spec mesh.md §7, §10). */
import { randomUUID } from 'node:crypto';
import { failpoint } from '../../../base/failpoints.ts';
import type { IncomingMessage } from '../broker/broker.ts';
import { Database, type Row, type Statement, type TableSchema } from './database.ts';
import { nullableTextIn, readable, textIn, timeIn } from './row.ts';

const schema: TableSchema = {
  table: 'inbox',
  columns: [
    'id TEXT PRIMARY KEY',
    'client_message_id TEXT NOT NULL UNIQUE',
    'broker_message_id TEXT',
    'mesh TEXT NOT NULL',
    'topic TEXT',
    'sender_pubkey TEXT NOT NULL',
    'sender_name TEXT NOT NULL',
    'body TEXT',
    'meta TEXT',
    'received_at INTEGER NOT NULL',
    'reply_to_id TEXT',
  ],
  laterColumns: ['seen_at INTEGER'],
  uniqueColumn: 'client_message_id',
  indices: [
    'CREATE INDEX IF NOT EXISTS inbox_received_at ON inbox (received_at)',
    'CREATE INDEX IF NOT EXISTS inbox_topic ON inbox (topic)',
    'CREATE INDEX IF NOT EXISTS inbox_sender ON inbox (sender_pubkey)',
  ],
};

export interface InboxFilter {
  /** Received at this time or later, in milliseconds since the epoch. */
  readonly since: number | undefined;
  /** Received before this time. */
  readonly before: number | undefined;
  readonly topic: string | undefined;
  readonly senderPubkey: string | undefined;
  readonly limit: number;
}

export interface InboxList {
  readonly items: readonly Readonly<Record<string, unknown>>[];
  /** There are more, and they were asked for. */
  readonly isCut: boolean;
}

/** An answer that is much longer would hold up everybody else while it is made. */
export const mostListedBytes = 8 * 1024 * 1024;

export class Inbox {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #list: Statement;
  readonly #prune: Statement;

  /** @throws CorruptDatabase, or Node's error */
  constructor(path: string) {
    this.#database = Database.open({ path, synchronous: 'NORMAL', schema });
    this.#insert = this.#database.prepare(
      `INSERT INTO inbox (id, client_message_id, broker_message_id, mesh, topic, sender_pubkey, sender_name, body, meta, received_at,
         reply_to_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    );
    this.#list = this.#database.prepare(
      `SELECT id, client_message_id, broker_message_id, mesh, topic, sender_pubkey, sender_name, body, received_at, reply_to_id
       FROM inbox
       WHERE received_at BETWEEN ?1 AND ?2 AND (?3 IS NULL OR topic = ?3) AND (?4 IS NULL OR sender_pubkey = ?4)
       ORDER BY received_at DESC, rowid DESC LIMIT ?5`,
    );
    this.#prune = this.#database.prepare('DELETE FROM inbox WHERE received_at < ?');
  }

  /** @returns the id of the new item; `undefined` when the message is known already */
  store(message: IncomingMessage, now: number): string | undefined {
    const { clientMessageId, brokerMessageId, mesh, topic, senderPubkey, senderName, body, meta, replyToId } = message;
    const id = randomUUID();
    const sender = [senderPubkey, senderName] as const;
    const values = [
      id,
      clientMessageId,
      brokerMessageId,
      mesh,
      topic,
      ...sender,
      body,
      JSON.stringify(meta),
      now,
      replyToId,
    ];
    failpoint('mesh.inbox.before');
    const isNew = this.#insert.run(...values) > 0;
    failpoint('mesh.inbox');
    return isNew ? id : undefined;
  }

  /** The newest items, as `GET /v1/inbox` shows them; as many as are asked for, or fit into an answer. */
  list({ since, before, topic, senderPubkey, limit }: InboxFilter): InboxList {
    const [first, last] = [since ?? Number.MIN_SAFE_INTEGER, (before ?? Number.MAX_SAFE_INTEGER) - 1];
    const items: Readonly<Record<string, unknown>>[] = [];
    let bytes = 0;
    for (const row of this.#list.iterate(first, last, topic ?? null, senderPubkey ?? null, limit)) {
      const [item] = readable([row], itemOf);
      if (item === undefined) {
        continue;
      }
      bytes += JSON.stringify(item).length;
      if (bytes > mostListedBytes && items.length > 0) {
        return { items, isCut: true };
      }
      items.push(item);
    }
    return { items, isCut: false };
  }

  /** Removes items older than `before`. @returns how many */
  prune(before: number): number {
    return this.#prune.run(before);
  }

  close(): void {
    this.#database.close();
  }
}

function itemOf(row: Row): Readonly<Record<string, unknown>> {
  return {
    id: textIn(row, 'id'),
    client_message_id: textIn(row, 'client_message_id'),
    broker_message_id: nullableTextIn(row, 'broker_message_id'),
    mesh: textIn(row, 'mesh'),
    topic: nullableTextIn(row, 'topic'),
    sender_pubkey: textIn(row, 'sender_pubkey'),
    sender_name: textIn(row, 'sender_name'),
    body: nullableTextIn(row, 'body'),
    received_at: timeIn(row, 'received_at'),
    reply_to_id: nullableTextIn(row, 'reply_to_id'),
  };
}
