/** Acceptance 7, 8 and 19: the idempotency table against a live daemon, each request fifty times at once (spec mesh.md §6). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newMember } from './members.ts';
import { outboxOf, rowOf, untilRow } from './rows.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { type Answer, TestDaemon } from './test-daemon.ts';

const request = { to: '*', message: 'text', meta: { a: 1, z: { b: 2, c: 3 } } };
const other = { ...request, message: 'other' };
const tooLarge = 'payload too large: 70005 bytes > MAX_MESSAGE_BYTES=65536';

let broker: StandInBroker;
let daemon: TestDaemon;
let brokerMessageId: unknown;
let abortedBy: unknown;

/** The rows of the table, one for each state: those behind the one in flight stay pending. */
beforeAll(async () => {
  const member = newMember('peer-a');
  broker = await StandInBroker.start({ members: [member] });
  daemon = await TestDaemon.start({ member, brokerUrl: broker.url, timings: { ackMs: 600_000 } });
  await daemon.send({ ...request, client_message_id: 'done' });
  brokerMessageId = (await untilRow(daemon, 'done', { status: 'done' })).broker_message_id;
  for (const key of ['dead', 'aborted']) {
    broker.errors.push(tooLarge);
    await daemon.send({ ...request, client_message_id: key });
    await untilRow(daemon, key, { status: 'dead' });
  }
  broker.dropAcks = 1;
  await daemon.send({ ...request, client_message_id: 'inflight' });
  await untilRow(daemon, 'inflight', { status: 'inflight' });
  const { id } = (await rowOf(daemon, 'aborted')) ?? {};
  abortedBy = (await daemon.request('/v1/outbox/requeue', { body: { id } })).body?.new_row_id;
  await daemon.send({ ...request, client_message_id: 'pending' });
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

async function fiftyTimes(body: object): Promise<readonly Answer[]> {
  return await Promise.all(Array.from({ length: 50 }, () => daemon.send(body)));
}

/** The same answer to all of fifty, and no row more or less. */
async function expectAlways(body: object, status: number, answer: object): Promise<void> {
  const before = (await outboxOf(daemon)).length;
  const answers = await fiftyTimes(body);
  expect(new Set(answers.map((each) => `${each.status} ${each.text}`)).size, answers[0]?.text).toBe(1);
  expect(answers[0]).toMatchObject({ status });
  expect(answers[0]?.body).toEqual(answer);
  expect(await outboxOf(daemon)).toHaveLength(before);
}

const prefix = expect.stringMatching(/^[0-9a-f]{16}$/);

function conflict(name: string, id: unknown = null): object {
  return {
    error: 'idempotency_key_reused',
    conflict: name,
    daemon_fingerprint_prefix: prefix,
    broker_message_id: id,
  };
}

describe('acceptance 7: a key', () => {
  test('1, and acceptance 8: that is new makes one row, however many ask at once', async () => {
    const before = (await outboxOf(daemon)).length;
    const answers = await fiftyTimes({ ...request, client_message_id: 'k1' });
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
    expect(answers[0]?.body).toEqual({ client_message_id: 'k1', status: 'queued' });
    expect(await outboxOf(daemon)).toHaveLength(before + 1);
  });

  test('2: that is left out is made up, another one for each request', async () => {
    const answers = await fiftyTimes(request);
    const keys = new Set(answers.map(({ body }) => body?.client_message_id));
    expect(keys.size).toBe(50);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
    for (const key of keys) {
      expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    }
    const rows = await outboxOf(daemon);
    expect([...keys].every((key) => rows.some(({ client_message_id }) => client_message_id === key))).toBe(true);
  });

  test('3: pending, the same request', () =>
    expectAlways({ ...request, client_message_id: 'pending' }, 202, {
      client_message_id: 'pending',
      status: 'queued',
    }));

  test('4: pending, another request', () =>
    expectAlways({ ...other, client_message_id: 'pending' }, 409, conflict('outbox_pending_fingerprint_mismatch')));

  test('5: in flight, the same request', () =>
    expectAlways({ ...request, client_message_id: 'inflight' }, 202, {
      client_message_id: 'inflight',
      status: 'inflight',
    }));

  test('6: in flight, another request', () =>
    expectAlways({ ...other, client_message_id: 'inflight' }, 409, conflict('outbox_inflight_fingerprint_mismatch')));

  test('7: done, the same request', () =>
    expectAlways({ ...request, client_message_id: 'done' }, 200, {
      client_message_id: 'done',
      broker_message_id: brokerMessageId,
      duplicate: true,
    }));

  test('8: done, another request', () =>
    expectAlways(
      { ...other, client_message_id: 'done' },
      409,
      conflict('outbox_done_fingerprint_mismatch', brokerMessageId),
    ));

  test('9: dead, the same request, and why it is dead', () =>
    expectAlways({ ...request, client_message_id: 'dead' }, 409, {
      ...conflict('outbox_dead_fingerprint_match'),
      reason: tooLarge,
    }));

  test('10: dead, another request', () =>
    expectAlways({ ...other, client_message_id: 'dead' }, 409, conflict('outbox_dead_fingerprint_mismatch')));

  test('11: aborted, the same request', () =>
    expectAlways({ ...request, client_message_id: 'aborted' }, 409, conflict('outbox_aborted_fingerprint_match')));

  test('12: aborted, another request', () =>
    expectAlways({ ...other, client_message_id: 'aborted' }, 409, conflict('outbox_aborted_fingerprint_mismatch')));

  test('13: another receiver is another request', () =>
    expectAlways(
      { ...request, to: '@ops', client_message_id: 'done' },
      409,
      conflict('outbox_done_fingerprint_mismatch', brokerMessageId),
    ));

  test('14: another priority is another request', () =>
    expectAlways(
      { ...request, priority: 'now', client_message_id: 'done' },
      409,
      conflict('outbox_done_fingerprint_mismatch', brokerMessageId),
    ));

  test('15: keys of meta in another order are the same request', () =>
    expectAlways({ ...request, meta: { z: { c: 3, b: 2 }, a: 1 }, client_message_id: 'done' }, 200, {
      client_message_id: 'done',
      broker_message_id: brokerMessageId,
      duplicate: true,
    }));

  test('may stand in the header, where the body names none', async () => {
    const { status, body } = await daemon.send(request, { 'Idempotency-Key': ' done ' });
    expect([status, body?.client_message_id]).toEqual([200, 'done']);
    const fresh = await daemon.send({ ...request, client_message_id: 'k1' }, { 'Idempotency-Key': 'done' });
    expect([fresh.status, fresh.body?.client_message_id]).toEqual([202, 'k1']);
  });

  test('the prefix in a conflict is that of the request that was refused', async () => {
    const { body } = await daemon.send({ to: '*', message: 'other', client_message_id: 'done' });
    expect(body?.daemon_fingerprint_prefix).toBe('ea73b6ea33a94960');
  });
});

describe('a requeue', () => {
  test('names the new row in the old one', async () => {
    expect(await rowOf(daemon, 'aborted')).toMatchObject({
      ...{ status: 'aborted', aborted_by: 'operator', superseded_by: abortedBy },
    });
  });

  test.each([
    ['nothing', undefined, 400, "missing 'id'"],
    ['no row', {}, 400, "missing 'id'"],
    ['an empty name', { id: '' }, 400, "missing 'id'"],
    ['a list', [1], 400, "missing 'id'"],
    ['a row that is not there', { id: 'nobody' }, 409, 'row not found, already aborted, or already done'],
  ])('of %s is refused', async (_, body, status, error) => {
    const answer = await daemon.request('/v1/outbox/requeue', { method: 'POST', ...(body && { body }) });
    expect([answer.status, answer.body]).toEqual([status, { error }]);
  });

  test('of a row that is done or aborted is refused, and so is a key in use', async () => {
    const requeue = async (key: string, newKey?: string) => {
      const { id } = (await rowOf(daemon, key)) ?? {};
      const { status, body } = await daemon.request('/v1/outbox/requeue', {
        body: { id, new_client_message_id: newKey },
      });
      return [status, body];
    };
    const over = [409, { error: 'row not found, already aborted, or already done' }];
    expect(await requeue('done')).toEqual(over);
    expect(await requeue('aborted')).toEqual(over);
    expect(await requeue('dead', 'done')).toEqual([409, { error: 'client_message_id in use' }]);
    expect(await rowOf(daemon, 'dead')).toMatchObject({ status: 'dead', superseded_by: null });
  });
});

describe('acceptance 19: a body', () => {
  test.each([
    ['that is no JSON', '/v1/send', '{"to":', 400, 'invalid_json'],
    ['that is no text', '/v1/send', Buffer.from([0x22, 0xff, 0x22]), 400, 'invalid_json'],
    ['that is no object', '/v1/send', '"text"', 400, 'expected JSON object'],
    ['that is missing', '/v1/send', '', 400, 'expected JSON object'],
    ['of 300 KB', '/v1/send', JSON.stringify({ to: 'a', message: 'x'.repeat(300_000) }), 413, 'payload_too_large'],
    ['of 5 KB to requeue', '/v1/outbox/requeue', `{"id":"${'x'.repeat(5000)}"}`, 413, 'payload_too_large'],
  ])('%s is refused, nothing is written, and the daemon goes on', async (_, path, body, status, error) => {
    const before = await outboxOf(daemon);
    const answer = await daemon.request(path, { method: 'POST', body });
    expect([answer.status, answer.body]).toEqual([status, { error }]);
    expect(await outboxOf(daemon)).toEqual(before);
  });

  test('of exactly the limit is taken', async () => {
    const body = (length: number) => JSON.stringify({ to: 'a', message: 'x'.repeat(length) });
    const most = 256 * 1024 - body(0).length;
    expect((await daemon.request('/v1/send', { body: body(most) })).status).toBe(202);
    expect((await daemon.request('/v1/send', { body: body(most + 1) })).status).toBe(413);
  });

  test('nested as deeply as it fits is taken like any other', async () => {
    const nested = `{"to":"a","message":"x","meta":{"a":${'['.repeat(120_000)}${']'.repeat(120_000)}}}`;
    expect((await daemon.request('/v1/send', { body: nested })).status).toBe(202);
  });
});
