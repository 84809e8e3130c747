/**
 * A broker that is not to be trusted: sizes, floods, garbage, wrong types, names with control characters. The connection
 * stays or is made again, nothing is thrown, nothing grows, and no byte that a terminal obeys reaches the log.
 */
import { createServer as createHttpServer, type Server } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { mostPeers } from '../../../../src/doors/mesh/broker/peer-lists.ts';
import { mostFrameCharacters, mostIncomingBytes } from '../../../../src/doors/mesh/broker/socket.ts';
import { waitUntil } from '../../../support/wait.ts';
import { newMember } from '../members.ts';
import { StandInBroker } from '../stand-in-broker.ts';
import { message, TestConnection } from './test-connection.ts';

const [alice, bob] = [newMember('alice'), newMember('bob')];
const evil = 'a\u001b]0;x\u0007\n[ERROR] forged\u202e\u009b31m';
const obeyed = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/;

/** Started in a test, ended after it. */
const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) {
    await each[Symbol.asyncDispose]();
  }
});

async function pair() {
  const broker = await StandInBroker.start({ members: [alice, bob] });
  opened.push(broker);
  const client = await TestConnection.open(alice, broker.url);
  opened.push(client);
  return { broker, client };
}

/** The client still does what it is for. */
async function stillWorks({ broker, client }: { broker: StandInBroker; client: TestConnection }): Promise<void> {
  await client.until('open');
  await waitUntil(async () => (await client.broker.send(message('*', 'still'))).ok, 'a send to succeed');
  const before = client.messages.length;
  broker.say({ ...push(`still-${before}-${client.log.length}`) });
  await waitUntil(() => client.messages.length > before, 'a message');
  for (const { msg, fields } of client.log) {
    for (const text of [msg, ...Object.values(fields)]) {
      expect(String(text)).not.toMatch(obeyed);
    }
  }
}

function push(key: string) {
  return {
    ...{ type: 'push', messageId: key, senderPubkey: bob.pubkey, nonce: '', ciphertext: '', client_message_id: key },
  };
}

describe('what is too large', () => {
  test('a frame over the limit costs the connection, not memory: its size is refused before it is read', async () => {
    const { broker, client } = await pair();
    broker.say('x'.repeat(mostIncomingBytes + 1));
    expect(await client.line('broker_ws_error')).toEqual({ err: 'Max payload size exceeded' });
    await waitUntil(() => broker.hellos === 2, 'another hello');
    await stillWorks({ broker, client });
  });

  test('a header that promises a gigabyte is refused at once', async () => {
    const { url, sockets } = await rawBroker();
    const client = await TestConnection.open(alice, url);
    opened.push(client);
    const header = Buffer.alloc(10);
    header.writeUInt8(0x81, 0);
    header.writeUInt8(127, 1);
    header.writeBigUInt64BE(2n ** 30n, 2);
    sockets.at(-1)?.write(header);
    expect(await client.line('broker_ws_error')).toEqual({ err: 'Max payload size exceeded' });
    await client.until('open');
  });

  test('a message that no sender can have sent costs the connection, a list of peers of that size does not', async () => {
    const { broker, client } = await pair();
    broker.say({ ...push('large'), ciphertext: 'A'.repeat(mostFrameCharacters) });
    expect((await client.line('broker_ws_error')).err).toMatch(
      new RegExp(`^a frame of \\d+ bytes that is no list of peers; the limit is ${mostFrameCharacters}$`),
    );
    await stillWorks({ broker, client });
    expect(client.messages.some(({ clientMessageId }) => clientMessageId === 'large')).toBe(false);
  });

  test('of a list with 100,000 peers ten thousand are taken, and the log says how many were left', async () => {
    const { broker, client } = await pair();
    await answering(
      broker,
      client,
      Array.from({ length: 100_000 }, () => ({ displayName: 'n' })),
    );
    expect(await client.broker.peers()).toHaveLength(mostPeers);
    expect(client.logged('broker_peers_cut')).toEqual([{ count: 100_000, kept: mostPeers }]);
  });

  test('a list with things that are no peers, and names that are no texts, finds who is there', async () => {
    const { broker, client } = await pair();
    const list = [
      null,
      1,
      'x',
      [],
      {},
      { displayName: 7, pubkey: bob.pubkey },
      { displayName: 'bob', pubkey: 'short' },
    ];
    const right = { displayName: 'BOB', pubkey: bob.pubkey, memberPubkey: null };
    await answering(broker, client, [...list, right]);
    expect(await client.broker.peers()).toEqual([[], {}, list[5], list[6], right]);
    // The broker itself does not know him; the route was found.
    expect(await client.broker.send(message('bob', 'x'))).toMatchObject({ error: /^no connected peer/ });
  });

  test.each([[undefined], [null], ['all'], [{ length: 5 }], [7]])('a list that is %j has no peers', async (peers) => {
    const { broker, client } = await pair();
    await answering(broker, client, peers);
    expect(await client.broker.peers()).toEqual([]);
  });
});

describe('what is no frame', () => {
  test('garbage of every kind is passed over', async () => {
    const { broker, client } = await pair();
    for (const text of [
      '',
      'x',
      'null',
      '7',
      '"text"',
      '[]',
      '{',
      '{"type":',
      '{}',
      '{"type":7}',
      '\u0000',
      '\ud83d',
    ]) {
      broker.say(text);
    }
    broker.say('['.repeat(100_000));
    broker.say(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    broker.say(
      `{"type":"push","subtype":"system","event":"deep","eventData":${'{"a":'.repeat(5000)}1${'}'.repeat(5001)}`,
    );
    await stillWorks({ broker, client });
    expect(client.states).toEqual(['connecting', 'open']);
    expect(client.events.filter(({ data }) => data.event === 'deep')).toEqual([]);
  });

  test('any type in any field of any frame is survived', async () => {
    const { broker, client } = await pair();
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(alice.pubkey, bob.pubkey, evil, '', '!!!', 'AAAA', '0'.repeat(64), '__proto__', 'toString'),
    );
    const names = ['id', 'messageId', 'queued', 'error', 'code', 'message', 'peers', '_reqId', 'subtype', 'event'];
    names.push('eventData', 'senderPubkey', 'senderName', 'priority', 'nonce', 'ciphertext', 'createdAt', 'topic');
    names.push('client_message_id', 'request_fingerprint', 'replyToId', 'meshId', 'presenceId', 'memberProfile');
    const types = ['ack', 'push', 'peers_list', 'hello_ack', 'error', 'send', 'constructor'];
    const frame = fc.tuple(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...types) }, value),
      fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 12 }),
    );
    fc.assert(
      fc.property(frame, ([type, fields]) => {
        broker.say({ type, ...fields });
      }),
      { numRuns: 800 },
    );
    await stillWorks({ broker, client });
    expect(client.states).toEqual(['connecting', 'open']);
    for (const {
      clientMessageId,
      senderName,
      senderPubkey,
      body,
      topic,
      replyToId,
      brokerMessageId,
    } of client.messages) {
      expect([clientMessageId, senderName, senderPubkey].every((text) => typeof text === 'string')).toBe(true);
      const optional = [body, topic, replyToId, brokerMessageId];
      expect(optional.every((text) => text === null || typeof text === 'string')).toBe(true);
    }
  });

  test('a true frame with any bytes changed, lost or doubled is survived', async () => {
    const { broker, client } = await pair();
    const frames = [
      JSON.stringify({ ...push('true'), senderName: 'n', topic: 't', replyToId: 'r', createdAt: '2026-11-21' }),
      JSON.stringify({ type: 'push', subtype: 'system', event: 'peer_joined', eventData: { name: 'n', groups: [] } }),
      '{"type":"peers_list","peers":[{"pubkey":"x","displayName":"n"}],"_reqId":"pl-1"}',
      '{"type":"ack","id":"k","messageId":"m","queued":true}',
      '{"type":"error","code":"no_hello","message":"must send hello first"}',
    ];
    const put = fc.constantFrom(
      '',
      '"',
      '\\',
      '{',
      '[',
      '}',
      ',',
      'null',
      '1e999',
      '\u0000',
      '\\u0000',
      '\\ud83d',
      '\u009b',
      'é',
    );
    const change = fc.record({ at: fc.nat(), cut: fc.nat(8), put });
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.array(change, { minLength: 1, maxLength: 4 }), (frame, changes) => {
        const changed = changes.reduce((text, { at, cut, put }) => {
          const start = at % (text.length + 1);
          return text.slice(0, start) + put + text.slice(start + cut);
        }, frame);
        broker.say(changed);
      }),
      { numRuns: 800 },
    );
    await stillWorks({ broker, client });
    expect(client.states).toEqual(['connecting', 'open']);
  });

  test.each([
    ['no id of a message', { queued: true }, 'an ack that says neither'],
    ['a number for one', { queued: true, messageId: 7 }, 'an ack that says neither'],
    ['a text for queued', { queued: 'yes', messageId: 'x' }, 'an ack that says neither'],
    ['false for it', { messageId: 'x', queued: false }, 'an ack that says neither'],
    ['an object for an error', { error: { text: 'forbidden' } }, 'an ack that says neither'],
    ['an error of 5000 characters', { error: `forbidden ${'x'.repeat(5000)}` }, /^forbidden x{990}$/],
  ])('an ack with %s is no success', async (_, ack, error) => {
    const { broker, client } = await pair();
    broker.dropAcks = 1;
    const sent = client.broker.send(message('*', 'x', { clientMessageId: 'odd' }));
    await waitUntil(() => broker.seen('send').length === 1, 'the send');
    broker.say({ type: 'ack', id: 'odd', ...ack });
    const result = await sent;
    expect(result).toMatchObject({ ok: false });
    expect('error' in result && result.error).toMatch(error);
  });

  test('names, reasons and codes with control characters are harmless in the log', async () => {
    const { broker, client } = await pair();
    broker.say({ type: 'error', code: evil, message: evil });
    broker.close(1011, evil);
    expect((await client.line('broker_reconnect_scheduled')).reason).toContain('\\x1b]0;x\\x07\\x0a[ERROR] forged');
    await stillWorks({ broker, client });
    broker.say({ type: 'error', code: `${evil}${'y'.repeat(100_000)}` });
    broker.breakAll();
    await waitUntil(() => client.logged('broker_reconnect_scheduled').length === 2, 'another line');
    const { reason } = client.logged('broker_reconnect_scheduled')[1] ?? {};
    expect(String(reason).length).toBeLessThan(400);
    await stillWorks({ broker, client });
  });

  test('a broker says nothing in our name: when, where and what happened is ours to tell', async () => {
    const { broker, client } = await pair();
    const eventData = JSON.parse(
      '{"ts":"never","mesh":"other","event":"peer_joined","__proto__":{"x":1},"name":"n"}',
    ) as object;
    broker.say({ type: 'push', subtype: 'system', event: 'notice', eventData });
    await waitUntil(() => client.events.length === 1, 'the event');
    expect(Object.keys(client.events[0]?.data ?? {}).sort()).toEqual(['__proto__', 'event', 'name']);
    expect(client.events[0]).toMatchObject({ kind: 'system', data: { event: 'notice', name: 'n' } });
  });
});

describe('what never ends', () => {
  test('eight thousand frames for nobody leave nothing behind', async () => {
    const { broker, client } = await pair();
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 4000; index++) {
        broker.say(`{"type":"ack","id":"${round}-${index}","messageId":"x","queued":true}`);
      }
      // The wire log is the test's own.
      broker.wire.splice(0);
      await client.broker.peers();
    }
    await stillWorks({ broker, client });
    expect(client.states).toEqual(['connecting', 'open']);
    expect(client.log).toEqual([]);
  });

  test('a broker that sends and never reads is left before our answers fill memory', async () => {
    const { url, sockets } = await rawBroker();
    const client = await TestConnection.open(alice, url);
    opened.push(client);
    const socket = sockets.at(-1);
    socket?.pause();
    let count = 0;
    const body = Buffer.from(JSON.stringify({ ...push('#'), messageId: 'm'.repeat(200) }));
    const frame = Buffer.concat([Buffer.from([0x81, 126, body.length >> 8, body.length & 0xff]), body]);
    const flood = Buffer.concat(Array.from({ length: 500 }, () => frame));
    await waitUntil(() => {
      count += socket?.write(flood) === undefined ? 0 : 500;
      return client.logged('broker_ws_error').length > 0;
    }, 'the socket to be left');
    expect(count).toBeGreaterThan(500);
    expect(client.logged('broker_ws_error')[0]?.err).toMatch(
      /^the broker reads nothing: \d+ bytes wait, the limit is 1048576$/,
    );
    await client.until('open');
  });

  test('a broker that answers HTTP, nothing, or bytes without end before the upgrade is tried again', async () => {
    let answer = 0;
    const raw = createServer((socket) => {
      answer++;
      socket.on('error', () => undefined);
      socket.once('data', () => {
        const texts = [
          'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi',
          `HTTP/1.1 101 X\r\n${'a: b\r\n'.repeat(10_000)}`,
        ];
        texts.push('\u001b[31mgarbage\r\n\r\n', 'HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n');
        socket.write(texts[(answer - 1) % 5] ?? '');
      });
    });
    const port = await listening(raw);
    const client = await TestConnection.start(alice, `ws://127.0.0.1:${port}/ws`, { connectMs: 200 });
    opened.push(client);
    await waitUntil(() => answer >= 6, 'six attempts');
    for (const { fields } of client.log) {
      expect(Object.values(fields).join(' ')).not.toMatch(obeyed);
    }
    const errors = client.logged('broker_ws_error').map(({ err }) => err);
    expect(errors.filter((err) => err === 'no connection within 0.2 s')).toHaveLength(1);
    expect(errors[0]).toBe('Unexpected server response: 200');
    expect(errors[3]).toBe('Unexpected server response: 302');
    expect(client.states).toEqual(['connecting', 'reconnecting']);
  });
});

/** The broker's next lists are these. */
async function answering(broker: StandInBroker, client: TestConnection, peers: unknown): Promise<void> {
  broker.listed = { peers };
  await client.until('open');
}

/** Says hello_ack to everybody; the test has the bytes below. */
async function rawBroker() {
  const http = createHttpServer();
  const sockets: Socket[] = [];
  http.on('connection', (socket) => sockets.push(socket));
  const server = new WebSocketServer({ server: http });
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.once('message', () => socket.send('{"type":"hello_ack"}'));
  });
  const port = await listening(http);
  return { url: `ws://127.0.0.1:${port}/ws`, sockets };
}

async function listening(server: Server | ReturnType<typeof createServer>): Promise<number> {
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push({
    async [Symbol.asyncDispose]() {
      for (const socket of connections) {
        socket.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  });
  return (server.address() as AddressInfo).port;
}
