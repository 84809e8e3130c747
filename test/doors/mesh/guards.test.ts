/** Who is answered at all, on the socket and on the TCP port (spec mesh.md §4), and what an answer looks like. */
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../support/wait.ts';
import { type RequestOptions, TestDaemon } from './test-daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
});
afterAll(() => daemon[Symbol.asyncDispose]());

type Way = NonNullable<RequestOptions['way']>;
const ways: readonly Way[] = ['socket', 'tcp'];
const health = '/v1/health';

/** Bytes as they are, and everything that comes back. */
function raw(way: Way, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket =
      way === 'socket' ? connect({ path: daemon.socket }) : connect({ host: '127.0.0.1', port: daemon.tcpPort });
    let answer = '';
    socket.setEncoding('utf8').on('data', (piece: string) => {
      answer += piece;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
    socket.write(text);
  });
}

test('acceptance 5: the socket needs no token; the TCP port needs the right one', async () => {
  expect((await daemon.request(health)).status).toBe(200);
  const tcp = (authorization: string | undefined) =>
    daemon.request(health, {
      way: 'tcp',
      headers: { Authorization: authorization ?? [] },
    });
  expect(await tcp(undefined)).toMatchObject({ status: 401, text: '{"error":"missing bearer token"}' });
  expect(await tcp('Basic x')).toMatchObject({ status: 401, text: '{"error":"missing bearer token"}' });
  expect(await tcp('Bearer wrong')).toMatchObject({ status: 401, text: '{"error":"invalid bearer token"}' });
  expect(await tcp(`Bearer ${daemon.token}x`)).toMatchObject({ status: 401, text: '{"error":"invalid bearer token"}' });
  expect((await tcp(`Bearer ${daemon.token}`)).status).toBe(200);
  await waitUntil(() => daemon.logged('ipc_bearer_mismatch').length === 2, 'both wrong tokens in the log');
  expect(daemon.logged('ipc_bearer_mismatch')[0]?.level).toBe('warn');
});

describe.each(ways)('acceptance 5, on the %s', (way) => {
  test.each(['/v1/health?token=x', '/v1/health?a=b&token=', '/v1/health?tok%65n=x', '/v1/nothing?token=x'])(
    'a token in the query of %s is refused and told',
    async (path) => {
      const before = daemon.logged('ipc_token_in_query_string_rejected').length;
      // Also of somebody who would be refused for something else: this is looked at first.
      expect(await daemon.request(path, { way, headers: { Host: 'evil', Origin: 'http://evil' } })).toMatchObject({
        status: 400,
        text: '{"error":"token must be in Authorization header, not query string"}',
      });
      await waitUntil(
        () => daemon.logged('ipc_token_in_query_string_rejected').length > before,
        'the refusal in the log',
      );
    },
  );

  test.each([
    'evil',
    'evil.example:47823',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
    '0.0.0.0',
    '127.0.0.2',
    '[::2]:80',
    'localhost@evil',
  ])('the Host %j is refused', async (host) => {
    expect(await daemon.request(health, { way, headers: { Host: host, Origin: 'http://evil' } })).toMatchObject({
      status: 403,
      text: '{"error":"forbidden host"}',
    });
  });

  test.each(['localhost', 'LOCALHOST:1', '127.0.0.1', '127.0.0.1:47823', '[::1]', '[::1]:47823', '::1'])(
    'the Host %s is ours',
    async (host) => {
      expect((await daemon.request(health, { way, headers: { Host: host } })).status).toBe(200);
    },
  );

  test('no Host at all is none that is refused, and of two each counts', async () => {
    const authorization = `Authorization: Bearer ${daemon.token}\r\nConnection: close\r\n`;
    expect(await raw(way, `GET /v1/health HTTP/1.1\r\n${authorization}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
    const empty = `GET /v1/health HTTP/1.1\r\nHost:\r\n${authorization}\r\n`;
    expect(await raw(way, empty)).toMatch(/^HTTP\/1\.1 403 /);
    const two = `GET /v1/health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n${authorization}\r\n`;
    expect(await raw(way, two)).toMatch(/^HTTP\/1\.1 403 /);
  });

  test.each(['http://localhost', 'null', ''])('an Origin of %j is refused, as a browser sends it', async (origin) => {
    const headers = { Origin: origin, ...(way === 'tcp' ? { Authorization: 'Bearer wrong' } : {}) };
    expect(await daemon.request(health, { way, headers })).toMatchObject({
      status: 403,
      text: '{"error":"forbidden origin"}',
    });
    expect((await daemon.request(health, { way, headers, method: 'OPTIONS' })).status).toBe(403);
  });

  test.each([
    ['GET', '/'],
    ['GET', '/v1/health/'],
    ['GET', '/V1/HEALTH'],
    ['GET', '/v1//health'],
    ['GET', 'http://localhost/v1/health'],
    ['GET', '/v1/send'],
    ['POST', '/v1/health'],
    ['DELETE', '/v1/inbox'],
    ['GET', '/v1/toString'],
    ['POST', '/v1/stop'],
    ['GET', '/__proto__'],
  ])('%s %s is not found', async (method, path) => {
    expect(await daemon.request(path, { way, method })).toMatchObject({ status: 404, text: '{"error":"not found"}' });
  });

  test('every answer is JSON with its length', async () => {
    for (const path of ['/v1/version', health, '/v1/inbox', '/v1/outbox', '/v1/peers', '/nothing', '/?token=1']) {
      const { headers, text, body } = await daemon.request(path, { way });
      expect(body, path).toBeTypeOf('object');
      expect(headers['content-type'], path).toBe('application/json');
      expect(headers['content-length'], path).toBe(String(Buffer.byteLength(text)));
    }
  });

  test('what is no HTTP gets an answer in JSON too', async () => {
    const answer = await raw(way, 'HELLO\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 .*\r\n\r\n\{"error":"bad_request"\}$/s);
    const long = await raw(way, `GET /v1/health HTTP/1.1\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`);
    expect(long).toMatch(/^HTTP\/1\.1 431 .*\{"error":"headers_too_large"\}$/s);
    const tunnel = await raw(way, 'CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n');
    expect(tunnel).toMatch(/^HTTP\/1\.1 404 .*\{"error":"not found"\}$/s);
    expect((await daemon.request(health, { way })).status).toBe(200);
  });

  test('acceptance 19: what is not JSON is 400, what is too long is 413, and the daemon goes on', async () => {
    const post = (path: string, body: string | Buffer) => daemon.request(path, { way, body });
    for (const path of ['/v1/send', '/v1/profile', '/v1/outbox/requeue']) {
      for (const body of ['{', '{"to":"a",}', Buffer.from([0xff, 0xfe]), 'nonsense']) {
        expect(await post(path, body), path).toMatchObject({ status: 400, text: '{"error":"invalid_json"}' });
      }
    }
    const kibibyte = 1024;
    for (const [path, limit] of [
      ['/v1/send', 256 * kibibyte],
      ['/v1/profile', 16 * kibibyte],
      ['/v1/outbox/requeue', 4 * kibibyte],
    ] as const) {
      const before = daemon.logged('ipc_body_too_large').length;
      const whole = `{"x":"${'x'.repeat(limit - 8)}"}`;
      expect((await post(path, whole)).status, path).not.toBe(413);
      expect(await post(path, `${whole} `), path).toMatchObject({ status: 413, text: '{"error":"payload_too_large"}' });
      const told = await waitUntil(() => daemon.logged('ipc_body_too_large')[before], 'the refusal in the log');
      expect(told).toMatchObject({ level: 'warn', route: `POST ${path}`, limit_bytes: limit });
    }
    expect((await post('/v1/send', 'x'.repeat(300 * kibibyte))).status).toBe(413);
    // Answered although the sender is still at it, and it can go on to the end.
    expect((await post('/v1/send', 'x'.repeat(8 * kibibyte * kibibyte))).status).toBe(413);
    expect((await daemon.request(health, { way })).status).toBe(200);
  });

  test('a body is JSON whatever its type says, and none is none', async () => {
    const headers = { 'Content-Type': 'text/plain' };
    const sent = await daemon.request('/v1/send', { way, headers, body: { to: 'bob', message: 'x' } });
    expect(sent.status).toBe(202);
    for (const path of ['/v1/send', '/v1/profile']) {
      expect(await daemon.request(path, { way, method: 'POST' })).toMatchObject({
        status: 400,
        text: '{"error":"expected JSON object"}',
      });
    }
  });

  test('a sender that breaks off in the middle of a body harms nobody', async () => {
    const head = `POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${daemon.token}\r\n`;
    const socket =
      way === 'socket' ? connect({ path: daemon.socket }) : connect({ host: '127.0.0.1', port: daemon.tcpPort });
    socket.on('error', () => {});
    await new Promise<void>((resolve) => {
      socket.write(`${head}Content-Length: 100\r\n\r\n{"to":`, () => resolve());
    });
    socket.destroy();
    expect((await daemon.request(health, { way })).status).toBe(200);
    expect(daemon.logged('ipc_request_failed')).toEqual([]);
  });
});

test('threat 12: a page in a browser learns nothing and sends nothing, whatever name it was made to believe in', async () => {
  const page = { Origin: 'https://evil.example', Authorization: `Bearer ${daemon.token}` };
  const before = (await daemon.items('/v1/outbox')).length;
  for (const host of ['localhost', '127.0.0.1']) {
    const url = `http://${host}:${daemon.tcpPort}`;
    for (const [path, init] of [
      ['/v1/health', {}],
      ['/v1/send', { method: 'OPTIONS' }],
      // What a page may send without being asked for leave first.
      ['/v1/send', { method: 'POST', body: '{"to":"bob","message":"x"}' }],
    ] as const) {
      const response = await fetch(url + path, { ...init, headers: page }).catch(() => undefined);
      // Where localhost is an IPv6 address nobody listens.
      expect(response?.status ?? 403).toBe(403);
      expect(response?.headers.get('access-control-allow-origin') ?? null).toBe(null);
    }
  }
  const rebound = { Host: `rebound.evil.example:${daemon.tcpPort}`, Authorization: `Bearer ${daemon.token}` };
  expect((await daemon.request('/v1/inbox', { way: 'tcp', headers: rebound })).status).toBe(403);
  expect(await daemon.items('/v1/outbox')).toHaveLength(before);
});

test('the port takes so many connections at once, says so once, and the socket is not touched by it', async () => {
  const limit = 256;
  const open: Socket[] = [];
  try {
    while (daemon.logged('ipc_connections_full').length === 0) {
      const socket = connect({ host: '127.0.0.1', port: daemon.tcpPort });
      socket.on('error', () => {});
      open.push(socket);
      await new Promise((resolve) => socket.once('connect', resolve));
      expect(open.length).toBeLessThan(limit * 2);
    }
    // A few may still be open from the tests before.
    expect(open.length).toBeGreaterThan(limit / 2);
    expect(daemon.logged('ipc_connections_full')).toMatchObject([
      { level: 'warn', limit, remedy: expect.stringContaining('--no-tcp') },
    ]);
    expect((await daemon.request(health)).status).toBe(200);
  } finally {
    for (const socket of open) {
      socket.destroy();
    }
  }
  await waitUntil(
    async () => (await daemon.request(health, { way: 'tcp' }).catch(() => undefined))?.status === 200,
    'the port to take connections again',
  );
});

test('what the routes say of themselves and of the broker', async () => {
  expect((await daemon.request('/v1/version')).text).toBe(
    '{"daemon_version":"0.9.0","ipc_api":"v1","ipc_features":["version","health","send","inbox","events","peers","profile"],"schema_version":1}',
  );
  const { body } = await daemon.request(health);
  expect(body).toEqual({ ok: true, pid: daemon.pid, brokers: { 'smoke-test': expect.stringMatching(/^\w+$/) } });
  expect((await daemon.request('/v1/peers')).text).toBe('{"peers":[]}');
});

test('a profile is taken key by key, and what was really used is told', async () => {
  const profile = (body: object) => daemon.request('/v1/profile', { body });
  expect(await profile({ status: 'dnd', summary: 'busy', other: 1 })).toMatchObject({
    status: 200,
    text: '{"ok":true,"applied":["summary","status"]}',
  });
  expect((await profile({ status: 'asleep', visible: 'yes', capabilities: ['a', 1], title: 'T' })).text).toBe(
    '{"ok":true,"applied":["title"]}',
  );
  expect((await profile({})).text).toBe('{"ok":true,"applied":[]}');
  expect((await profile([])).text).toBe('{"error":"expected JSON object"}');
});

test('with --public-health that one route needs no token on the TCP port; all other guards stand', async () => {
  await using open = await TestDaemon.start({ words: ['--tcp', '--public-health'] });
  const without = { way: 'tcp', headers: { Authorization: [] } } as const;
  expect((await open.request(health, without)).status).toBe(200);
  expect((await open.request(`${health}?verbose=1`, without)).status).toBe(200);
  expect((await open.request('/v1/version', without)).status).toBe(401);
  expect((await open.request(health, { ...without, headers: { Authorization: [], Host: 'evil' } })).status).toBe(403);
});
