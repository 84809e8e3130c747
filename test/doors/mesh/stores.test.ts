/** Both databases: owner-only, checked at the start, brought into order, and what happens to damaged ones (spec mesh.md §7). */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SendRoutes } from '../../../src/doors/mesh/send/send-routes.ts';
import { keepHouse } from '../../../src/doors/mesh/store/housekeeping.ts';
import { listInbox, listOutbox } from '../../../src/doors/mesh/store/listings.ts';
import { openStores, StoreFailure, type Stores } from '../../../src/doors/mesh/store/open-stores.ts';
import { meshTimings as timings } from '../../../src/doors/mesh/timings.ts';
import { flipBits } from './damage.ts';

/** In memory where the system has such a folder: the tests are about damage and order, and syncs of a busy disk take long. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const day = 24 * 3_600_000;

let folder: string;
let warnings: string[];

beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'hfm-'));
  warnings = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

const log = { warn: (name: string) => warnings.push(name) };

function withStores<Result>(work: (stores: Stores) => Result, now = Date.now): Result {
  const stores = openStores({ folder, timings, log, now });
  try {
    return work(stores);
  } finally {
    stores.outbox.close();
    stores.inbox.close();
  }
}

function routesOf({ outbox }: Stores, now = Date.now): SendRoutes {
  return new SendRoutes({ outbox, mesh: 'm', onQueued: () => {}, now });
}

type Item = Readonly<Record<string, unknown>>;

function outboxOf({ outbox }: Stores, query = ''): readonly Item[] {
  return listOutbox(outbox, new URLSearchParams(query)).body.items as readonly Item[];
}

function inboxOf({ inbox }: Stores, query = ''): readonly Item[] {
  return listInbox(inbox, new URLSearchParams(query)).body.items as readonly Item[];
}

function message(clientMessageId: string, change: object = {}): Parameters<Stores['inbox']['store']>[0] {
  return {
    ...{
      clientMessageId,
      brokerMessageId: `b-${clientMessageId}`,
      mesh: 'm',
      topic: null,
      senderPubkey: 'aa',
      senderName: 'bob',
    },
    ...{ body: 'hi', meta: { created_at: '2026-11-28T12:00:00.000Z' }, replyToId: null, ...change },
  };
}

/** SQL of a test's own on a file that nobody else has open. */
function alter(name: string, sql: string): void {
  const database = new DatabaseSync(join(folder, name), { defensive: false });
  database.exec(sql);
  database.close();
}

describe('opening', () => {
  test.each([0o000, 0o077, 0o777])(
    'acceptance 6: with umask %o every database file is 0600, also one that was open to others',
    (umask) => {
      writeFileSync(join(folder, 'inbox.db'), '');
      chmodSync(join(folder, 'inbox.db'), 0o666);
      const before = process.umask(umask);
      try {
        withStores((stores) => {
          routesOf(stores).send({ to: 'a', message: 'x' }, undefined);
          stores.inbox.store(message('k'), Date.now());
          const modes = readdirSync(folder)
            .sort()
            .map((name) => [name, statSync(join(folder, name)).mode & 0o777]);
          const files = ['inbox.db', 'inbox.db-shm', 'inbox.db-wal', 'outbox.db', 'outbox.db-shm', 'outbox.db-wal'];
          expect(modes).toEqual(files.map((name) => [name, 0o600]));
        });
      } finally {
        process.umask(before);
      }
    },
  );

  test('the outbox is synchronous to the disk, both keep a log before the file', () => {
    withStores(() => undefined);
    for (const name of ['outbox.db', 'inbox.db']) {
      const database = new DatabaseSync(join(folder, name));
      expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
      database.close();
    }
  });

  test('a row that was in flight is due half a second after the start', () => {
    withStores((stores) => {
      routesOf(stores).send({ to: 'a', message: 'x', client_message_id: 'k' }, undefined);
      const [row] = stores.outbox.due('m', 1, Date.now(), 30_000);
      expect(stores.outbox.markInflight(row?.id ?? '')).toBe(true);
    });
    const now = Date.now();
    withStores(
      (stores) => {
        expect(outboxOf(stores)).toMatchObject([
          { status: 'pending', last_error: 'recovered_inflight', next_attempt_at: new Date(now + 500).toISOString() },
        ]);
        routesOf(stores).send({ to: 'a', message: 'later' }, undefined);
        // The one behind it waits for it, so that the order is kept.
        expect(stores.outbox.due('m', 9, now + 499, 30_000)).toEqual([]);
        expect(stores.outbox.due('m', 9, now + 500, 30_000)).toHaveLength(2);
      },
      () => now,
    );
  });

  test('the table of the first generation gets the columns it lacks, and its rows are not broadcast to everybody', () => {
    alter(
      'outbox.db',
      `CREATE TABLE outbox (id TEXT PRIMARY KEY, client_message_id TEXT UNIQUE NOT NULL, request_fingerprint BLOB NOT NULL,
        payload BLOB NOT NULL, enqueued_at INTEGER NOT NULL, attempts INTEGER DEFAULT 0, next_attempt_at INTEGER NOT NULL,
        status TEXT NOT NULL, last_error TEXT, delivered_at INTEGER, broker_message_id TEXT, aborted_at INTEGER, aborted_by TEXT,
        superseded_by TEXT);
       INSERT INTO outbox VALUES ('row-1', 'k', x'00', x'6869', 1, 0, 1, 'pending', NULL, NULL, NULL, NULL, NULL, NULL)`,
    );
    withStores((stores) => {
      expect(outboxOf(stores)).toMatchObject([{ id: 'row-1', status: 'pending', payload_bytes: 2 }]);
      expect(stores.outbox.due('m', 9, Date.now(), 30_000)).toMatchObject([{ id: 'row-1', target: undefined }]);
      expect(routesOf(stores).send({ to: 'a', message: 'x' }, undefined).status).toBe(202);
    });
  });
});

describe('keeping house', () => {
  test('a message that waits for more than 168 hours is given up, one that is done is kept', () => {
    withStores((stores) => {
      routesOf(stores, () => 1000).send({ to: 'a', message: 'old' }, undefined);
      routesOf(stores, () => 2000).send({ to: 'a', message: 'younger' }, undefined);
      const end = keepHouse({ ...stores, timings, log, now: () => 7 * day + 1500 });
      end();
      expect(outboxOf(stores)).toMatchObject([
        { status: 'pending' },
        { status: 'dead', last_error: 'max_age_exceeded' },
      ]);
    });
  });

  test('messages leave the inbox after 30 days', () => {
    withStores((stores) => {
      stores.inbox.store(message('old'), 1000);
      stores.inbox.store(message('younger'), 2000);
      const end = keepHouse({ ...stores, timings, log, now: () => 30 * day + 1500 });
      end();
      expect(inboxOf(stores)).toMatchObject([{ client_message_id: 'younger' }]);
    });
  });
});

describe('the inbox', () => {
  test('a known key changes nothing, and the list is the newest first and filtered', () => {
    withStores((stores) => {
      const { inbox } = stores;
      expect(inbox.store(message('k1'), 1000)).toMatch(/^[0-9a-f-]{36}$/);
      expect(inbox.store(message('k1', { body: 'again' }), 1500)).toBeUndefined();
      inbox.store(message('k2', { topic: 'ops', replyToId: 'k1' }), 2000);
      inbox.store(message('k3', { senderPubkey: 'bb', body: null, brokerMessageId: null }), 2000);
      expect(inboxOf(stores).map(({ client_message_id }) => client_message_id)).toEqual(['k3', 'k2', 'k1']);
      expect(Object.keys(inboxOf(stores)[0] ?? {}).join(' ')).toBe(
        'id client_message_id broker_message_id mesh topic sender_pubkey sender_name body received_at reply_to_id',
      );
      expect(inboxOf(stores, 'topic=ops')).toMatchObject([{ topic: 'ops', reply_to_id: 'k1', body: 'hi' }]);
      expect(inboxOf(stores, 'from=bb')).toMatchObject([{ client_message_id: 'k3', body: null }]);
      expect(inboxOf(stores, 'since=1970-01-01T00:00:02Z')).toHaveLength(2);
      expect(inboxOf(stores, 'limit=1')).toMatchObject([{ client_message_id: 'k3' }]);
      expect(inboxOf(stores, 'since=nonsense&limit=many')).toHaveLength(3);
    });
  });

  test('of more long messages than an answer holds the newest are listed, and how the others are asked for', () => {
    withStores((stores) => {
      for (let at = 1; at <= 100; at++) {
        stores.inbox.store(message(`k${at}`, { body: '\u0001'.repeat(100_000) }), at);
      }
      const { body } = listInbox(stores.inbox, new URLSearchParams('limit=1000'));
      const items = body.items as readonly Item[];
      expect(items.length).toBeLessThan(20);
      expect(body.truncated).toBe(
        `only the newest ${items.length}: an answer has at most 8388608 bytes; ask for older ones with before=<received_at of the last item>`,
      );
      const older = inboxOf(stores, `limit=1&before=${items.at(-1)?.received_at}`);
      expect(older).toMatchObject([{ client_message_id: `k${100 - items.length}` }]);
    });
  });

  test.each(['limit=0', 'limit=-5', 'limit=1'])('at least one is listed: %s', (query) => {
    withStores((stores) => {
      stores.inbox.store(message('k1'), 1000);
      stores.inbox.store(message('k2'), 2000);
      expect(inboxOf(stores, query)).toHaveLength(1);
    });
  });
});

/** So many messages are in the databases that are damaged: several pages of each table and index. */
const messages = 24;

describe('damage', () => {
  test('values of other types than the columns have are never shown, and never sent', () => {
    withStores((stores) => {
      const routes = routesOf(stores);
      for (const key of ['k1', 'k2', 'k3', 'k4']) {
        routes.send({ to: key, message: 'x', client_message_id: key }, undefined);
      }
    });
    alter(
      'outbox.db',
      `UPDATE outbox SET payload = 'text' WHERE client_message_id = 'k1';
       UPDATE outbox SET enqueued_at = 'yesterday' WHERE client_message_id = 'k2';
       UPDATE outbox SET attempts = 9223372036854775807 WHERE client_message_id = 'k3'`,
    );
    withStores((stores) => {
      expect(stores.outbox.due('m', 9, Date.now(), 30_000)).toMatchObject([{ message: { clientMessageId: 'k4' } }]);
      expect(outboxOf(stores, 'status=dead')).toMatchObject([
        { client_message_id: 'k1', last_error: 'invalid row: payload is no blob' },
      ]);
      expect(routesOf(stores).send({ to: 'k1', message: 'x', client_message_id: 'k1' }, undefined)).toMatchObject({
        status: 409,
        body: { conflict: 'outbox_dead_fingerprint_match' },
      });
    });
  });

  test.each([
    ['no database at all', () => writeFileSync(join(folder, 'outbox.db'), 'hello, I am a text file '.repeat(100))],
    [
      'cut in the middle',
      () => {
        withStores((stores) => routesOf(stores).send({ to: 'a', message: 'x'.repeat(20_000) }, undefined));
        writeFileSync(join(folder, 'outbox.db'), readFileSync(join(folder, 'outbox.db')).subarray(0, 9000));
      },
    ],
    ['of something else', () => alter('outbox.db', 'CREATE TABLE songs (name TEXT)')],
    [
      'without a column',
      () => alter('outbox.db', 'CREATE TABLE outbox (id TEXT PRIMARY KEY, client_message_id TEXT UNIQUE)'),
    ],
    [
      'without its unique key',
      () => {
        withStores(() => undefined);
        alter(
          'outbox.db',
          `PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql, 'client_message_id TEXT NOT NULL UNIQUE', 'client_message_id TEXT NOT NULL')
          WHERE name = 'outbox';
        DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_outbox_2'`,
        );
      },
    ],
  ])('an outbox that is %s is refused and left as it is', (_, damage) => {
    damage();
    const before = readFileSync(join(folder, 'outbox.db'));
    expect(() => openStores({ folder, timings, log })).toThrow(new StoreFailure('outbox.db corrupt'));
    expect(readFileSync(join(folder, 'outbox.db')).equals(before)).toBe(true);
  });

  test('a damaged inbox is set aside with its log, and a new one begun', () => {
    writeFileSync(join(folder, 'inbox.db'), 'hello, I am a text file '.repeat(100));
    writeFileSync(join(folder, 'inbox.db-wal'), 'and I am its log');
    withStores(
      (stores) => expect(stores.inbox.store(message('k'), 1)).toBeDefined(),
      () => 4711,
    );
    expect(readFileSync(join(folder, 'inbox.db.corrupt-4711'), 'utf8')).toMatch(/^hello/);
    expect(warnings).toEqual(['inbox_corruption_recovered']);
    withStores((stores) => expect(inboxOf(stores)).toHaveLength(1));
  });

  test('what is no damage says so, and sets nothing aside', () => {
    rmSync(folder, { recursive: true });
    expect(() => openStores({ folder, timings, log })).toThrow(/^outbox\.db cannot be opened: ENOENT/);
    expect(warnings).toEqual([]);
    folder = mkdtempSync(join(scratch, 'hfm-'));
  });

  test('fault 23: one to eight bits flipped, a hundred times: the outbox is refused, the inbox set aside, or they work', () => {
    withStores((stores) => {
      const routes = routesOf(stores);
      for (let at = 0; at < messages; at++) {
        routes.send(
          { to: `p${at % 5}`, message: `message ${at} ${'x'.repeat(at * 40)}`, client_message_id: `k${at}` },
          undefined,
        );
        stores.inbox.store(message(`k${at}`, { body: 'y'.repeat(at * 40) }), at);
      }
    });
    const whole = folder;
    const outcomes = { refused: 0, setAside: 0, works: 0 };
    for (let seed = 1; seed <= 100; seed++) {
      folder = mkdtempSync(join(scratch, 'hfm-'));
      warnings = [];
      for (const name of ['outbox.db', 'inbox.db']) {
        copyFileSync(join(whole, name), join(folder, name));
        if ((name === 'outbox.db') === (seed % 2 === 0)) {
          flipBits(join(folder, name), seed, 1 + (seed % 8));
        }
      }
      try {
        withStores((stores) => useAll(stores));
        outcomes[warnings.includes('inbox_corruption_recovered') ? 'setAside' : 'works']++;
      } catch (error) {
        expect(error, `seed ${seed}`).toEqual(new StoreFailure('outbox.db corrupt'));
        outcomes.refused++;
      }
      rmSync(folder, { recursive: true });
    }
    folder = whole;
    // All three must have been met, or the test proves less than it says.
    expect(
      Object.values(outcomes).every((count) => count > 5),
      JSON.stringify(outcomes),
    ).toBe(true);
  });
});

/** What a daemon does with its stores from its start on. */
function useAll(stores: Stores): void {
  const routes = routesOf(stores);
  expect(routes.send({ to: 'new', message: 'x', client_message_id: 'new' }, undefined).status).toBe(202);
  for (let at = 0; at < messages; at++) {
    routes.send(
      { to: `p${at % 5}`, message: `message ${at} ${'x'.repeat(at * 40)}`, client_message_id: `k${at}` },
      undefined,
    );
    stores.inbox.store(message(`k${at}`), at);
  }
  for (const { id } of stores.outbox.due('m', 100, Date.now(), 30_000)) {
    stores.outbox.markInflight(id);
    stores.outbox.markDone(id, { brokerMessageId: 'b', nonce: '', ciphertext: '' }, Date.now());
  }
  expect(outboxOf(stores, 'limit=500').length).toBeGreaterThan(0);
  expect(inboxOf(stores, 'limit=1000').length).toBeGreaterThan(0);
  keepHouse({ ...stores, timings, log })();
}
