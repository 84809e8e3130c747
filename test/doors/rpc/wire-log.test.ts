/** `-wire-log` (spec modes.md §15): every frame, none of the secrets. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { atOnce } from '../../../platform/steps.ts';
import type { Counters } from '../../../src/base/counters.ts';
import type { Log } from '../../../src/base/log.ts';
import { Secrets } from '../../../src/base/secrets.ts';
import { showFrame } from '../../../src/doors/rpc/wire-log/wire-frame.ts';
import { WireLog } from '../../../src/doors/rpc/wire-log/wire-log.ts';
import type { WireLogFile } from '../../../src/doors/rpc/wire-log/wire-log-file.ts';
import type { Steps } from '../../../src/wire/steps.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw } from '../../tools/raw-connection.ts';

const fileOf = (daemon: TestDaemon): string => join(daemon.dir, 'wire.jsonl');

/** A daemon that logs its wire below its own directory. */
async function logged(flags: readonly string[] = []): Promise<TestDaemon> {
  const daemon = await prepareDaemon({ profile: 'current' });
  await daemon.start(['-wire-log', fileOf(daemon), ...flags]);
  return daemon;
}

// biome-ignore lint/suspicious/noExplicitAny: a test states the shape it expects right where it looks at it.
type Entry = any;
const entries = (daemon: TestDaemon): Entry[] =>
  readFileSync(fileOf(daemon), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

test('every frame of every connection is a line, with its direction, connection, method and true size', async () => {
  await using daemon = await logged();
  await using first = await connectRaw(daemon);
  await using second = await connectRaw(daemon);
  await first.call('server.ping', {});
  await second.spawn('p', 'sh', ['-c', 'echo out; exit 3']);
  await second.exitOf('p');
  await waitUntil(() => entries(daemon).some(({ body }) => body?.stream === 'exit') || undefined, 'the exit frame');
  const seen = entries(daemon);
  for (const client of [first, second]) {
    const sizes = client.lines.map((line) => Buffer.byteLength(line));
    const conn = client === first ? seen[0].conn : seen[0].conn + 1;
    expect(seen.filter((entry) => entry.conn === conn && entry.dir === 'out').map(({ n }) => n)).toEqual(sizes);
  }
  const { ts, ...ping } = seen[0];
  expect(new Date(ts).toISOString()).toBe(ts);
  expect(ping).toEqual({
    pid: daemon.pid(),
    conn: expect.any(Number),
    dir: 'in',
    method: 'server.ping',
    n: expect.any(Number),
    body: { jsonrpc: '2.0', id: 1, method: 'server.ping', params: {}, auth: '[redacted]' },
  });
  expect(Object.keys(seen[0]).join()).toBe('ts,pid,conn,dir,method,n,body');
  expect(seen[1]).toMatchObject({ dir: 'out', method: 'server.ping', body: { id: 1, result: {} } });
  expect(seen.at(-1)).toMatchObject({ dir: 'out', body: { type: 'stream', processId: 'p', exitCode: 3 } });
});

test('long strings are cut and tell their size, short ones and numbers stay as they were spelled', async () => {
  await using daemon = await logged(['-wire-log-max-string', '10']);
  await using client = await connectRaw(daemon);
  client.sendLine(
    `{"jsonrpc":"2.0","id":1,"method":"process.reattach","auth":"${daemon.token}","params":{"id":"${'ü'.repeat(40)}","fromSeq":18446744073709551615}}`,
  );
  await waitUntil(() => entries(daemon).length === 2 || undefined, 'request and reply');
  const line = readFileSync(fileOf(daemon), 'utf8').split('\n')[0];
  expect(line).toContain(`"id":"${'ü'.repeat(10)}… (80 bytes total)","fromSeq":18446744073709551615`);
});

test('with max-string 0 frames are shown verbatim, without their secrets', async () => {
  await using daemon = await logged(['-wire-log-max-string', '0']);
  await using client = await connectRaw(daemon);
  const pad = 'x'.repeat(2000);
  client.sendLine(
    `{ "jsonrpc":"2.0","id":1,  "method":"server.ping","auth" : "${daemon.token}","params":{"pad":"${pad}"}}`,
  );
  await waitUntil(() => entries(daemon).length === 2 || undefined, 'request and reply');
  expect(entries(daemon)[0]).toMatchObject({
    raw: `{ "jsonrpc":"2.0","id":1,  "method":"server.ping","auth" : "[redacted]","params":{"pad":"${pad}"}}`,
  });
  expect(entries(daemon)[0]).not.toHaveProperty('body');
});

test('a line that is no JSON is shown as text with the reason', async () => {
  await using daemon = await logged();
  await using client = await connectRaw(daemon);
  client.sendLine(`{"auth":"${daemon.token}", oops \u0001`);
  await waitUntil(() => entries(daemon).length === 2 || undefined, 'line and reply');
  const [line] = entries(daemon);
  expect(line).toMatchObject({ dir: 'in', raw: '{"auth":"[redacted]", oops \u0001', parse_error: 'not valid JSON' });
  expect(line).not.toHaveProperty('method');
});

test('the token appears nowhere, however a client spells it', async () => {
  const flags: string[][] = [[], ['-wire-log-max-string', '0'], ['-wire-log-max-string', '7']];
  for (const each of flags) {
    await using daemon = await logged(each);
    await using client = await connectRaw(daemon);
    const { token } = daemon;
    const escaped = [...token].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join('');
    for (const line of [
      `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${escaped}"}`,
      `{"jsonrpc":"2.0","id":1,"method":"server.ping","\\u0061uth":"${token}"}`,
      `{"jsonrpc":"2.0","id":"${token}","method":"${token}","auth":"${token}"}`,
      `{"jsonrpc":"2.0","id":2,"method":"files.${escaped}","params":{"${token}":["${token}","x${token}x"]}}`,
      `${token} {"auth":"${token}`,
      `"${token}"`,
    ]) {
      client.sendLine(line);
    }
    await client.spawn('p', 'sh', ['-c', `echo ${token}`], { env: { A: token } });
    await client.exitOf('p');
    await daemon.stop();
    const text = readFileSync(fileOf(daemon), 'utf8');
    expect(entries(daemon).length).toBeGreaterThan(10);
    expect(text).not.toContain(token);
    expect(text).not.toContain(token.slice(0, 8));
    expect(text.toLowerCase()).not.toContain(escaped.replaceAll('\\', ''));
    expect(daemon.log()).not.toContain(token);
  }
});

/** Every spelling of a text that a JSON or JavaScript reader would take for it, and mixtures of them. */
function spellings(text: string): string[] {
  const each = (spell: (c: string, index: number) => string) => [...text].map(spell).join('');
  const unicode = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return [
    each(unicode),
    each((c) => unicode(c).toUpperCase().replace('U', 'u')),
    each((c, index) => (index % 3 === 0 ? unicode(c) : c)),
    each((c, index) => (index === text.length - 1 ? unicode(c) : c)),
    each((c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`),
    each((c) => (c === '/' ? '\\/' : c)),
    // A string of JSON in a string of JSON.
    each((c) => unicode(c).replace('\\', '\\\\')),
    JSON.stringify(JSON.stringify(each(unicode))),
  ];
}

test('in a line that is no JSON the token appears nowhere, spelled with escapes or arriving in pieces', async () => {
  for (const flags of [[], ['-wire-log-max-string', '0'], ['-wire-log-max-string', '7']]) {
    await using daemon = await prepareDaemon({ profile: 'current' });
    const token = 'abc/def"ghi<jkl\\mno12345';
    const tokenFile = join(daemon.dir, 'own-token');
    writeFileSync(tokenFile, token);
    await daemon.start(['-wire-log', fileOf(daemon), ...flags, '-token-file', tokenFile]);
    await using client = await connectRaw(daemon, { auth: token });
    for (const spelled of spellings(token)) {
      for (const line of [spelled, `"${spelled}`, `{"a":"\\q${spelled}"}`, `auth=${spelled}, {`, `\\\\${spelled}\\`]) {
        client.sendLine(line);
      }
    }
    const [torn = ''] = spellings(token);
    for (const byte of `x ${torn}\n`) {
      client.socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Its halves lie in two reads of the socket.
    client.sendLine(`${'y'.repeat(65_536 - 20)}${torn}`);
    await client.request('server.ping', {});
    await daemon.stop();
    const shown = readFileSync(fileOf(daemon), 'utf8') + daemon.log();
    expect(entries(daemon).filter(({ parse_error }) => parse_error !== undefined).length).toBeGreaterThan(40);
    for (const part of [token, 'mno12345', '\\u006e\\u006f', '\\u006E\\u006F', '\\x6e\\x6f', 'u006e']) {
      expect(shown).not.toContain(part);
      expect(shown).not.toContain(JSON.stringify(part).slice(1, -1));
    }
  }
});

test('a token of digits is no number of the wire log, and one in a long method is not cut in two', async () => {
  await using daemon = await prepareDaemon({ profile: 'current' });
  const token = '1234567890123456';
  const tokenFile = join(daemon.dir, 'own-token');
  writeFileSync(tokenFile, token);
  await daemon.start(['-wire-log', fileOf(daemon), '-token-file', tokenFile]);
  await using client = await connectRaw(daemon, { auth: token });
  client.sendLine(`{"jsonrpc":"2.0","id":${token},"method":"${'m'.repeat(120)}${token}","auth":${token}}`);
  await client.request('server.ping', {});
  await waitUntil(() => entries(daemon).length === 4 || undefined, 'two requests and two replies');
  const shown = readFileSync(fileOf(daemon), 'utf8');
  expect(shown).not.toContain(token.slice(0, 7));
});

test('a text full of backslashes is searched in the time of its length', () => {
  const secrets = new Secrets();
  secrets.add('abc/def"ghi');
  const cost = (characters: number): number => {
    const text = '\\'.repeat(characters);
    const started = performance.now();
    expect(secrets.hide(text)).toBe(text);
    return performance.now() - started;
  };
  cost(1 << 16);
  // Sixteen times as long; with the square of the length it would be 256 times as dear.
  expect(cost(1 << 20)).toBeLessThan(100 * Math.max(1, cost(1 << 16)));
});

function shown(text: string, maxString: number, hide: (text: string) => string = (value) => value): string {
  return atOnce(
    showFrame(text, {
      maxString,
      *hide(value): Steps<string> {
        yield;
        return hide(value);
      },
    }),
  );
}

test('a frame that takes long to show holds up neither the loop nor the order of the lines', async () => {
  const lines: string[] = [];
  const secrets = new Secrets();
  secrets.add(randomBytes(16).toString('hex'));
  const file = {
    path: 'wire.jsonl',
    write: (bytes: Buffer) => void lines.push(...bytes.toString().split('\n').slice(0, -1)),
  };
  const log = { secrets } as Partial<Log> as Log;
  const wireLog = new WireLog({ file: file as WireLogFile, maxString: 0, log, counters: {} as Counters });
  const tap = wireLog.tap();
  const long = `{"id":1,"method":"m","params":[${'0,'.repeat(500_000)}"${'\\\\'.repeat(20_000)}"]}`;
  tap.received(Buffer.from(long));
  tap.received(Buffer.from('{"id":2,"method":"n"}'));
  tap.sent('{"id":1}\n{"id":2}\n'.split(/(?<=\n)/));
  const atOnceShown = lines.length;
  let turns = 0;
  while (lines.length < 4) {
    turns++;
    await nextTurn();
  }
  // It takes some 150 ms, in turns of 8: others have theirs in between.
  expect([atOnceShown, turns > 3]).toEqual([0, true]);
  expect(lines.map((line) => JSON.parse(line).method)).toEqual(['m', 'n', 'm', 'n']);
  expect(JSON.parse(lines[0] ?? '').raw).toBe(long);

  // The end of the daemon does not wait for its turn.
  tap.received(Buffer.from(long));
  Object.assign(file, { close: () => lines.push('closed') });
  wireLog[Symbol.dispose]();
  expect([lines.length, lines.at(-1)]).toEqual([6, 'closed']);
});

describe('what counts as a secret', () => {
  const show = (value: unknown) => JSON.parse(shown(JSON.stringify(value), 100));

  test.each([
    'auth',
    'Auth',
    'token',
    'accessToken',
    'refresh_token',
    'ANTHROPIC_API_KEY',
    'CLAUDE_CODE_OAUTH_TOKEN',
    'x-api-key',
    'password',
    'Authorization',
    'Set-Cookie',
    'client_secret',
    'AWS_SECRET_ACCESS_KEY',
    'GITHUB_PAT',
    'privateKey',
    'credentials',
  ])('%s is hidden at any depth', (name) => {
    expect(show({ a: [{ [name]: 'value', b: 1 }] })).toEqual({ a: [{ [name]: '[redacted]', b: 1 }] });
  });

  test.each([
    'id',
    'method',
    'tokenUrl',
    'token_endpoint',
    'scope',
    'scopes',
    'expiresAt',
    'token_type',
    'max_tokens',
    'SSH_AUTH_SOCK',
    'author',
    'path',
    'repeat',
    'TOKEN_FILE',
  ])('%s is shown', (name) => {
    expect(show({ [name]: name === 'max_tokens' ? 4096 : 'value' })).not.toHaveProperty(name, '[redacted]');
  });

  test('below a secret everything is one, except what says otherwise', () => {
    const oauth = {
      access: 'a',
      list: ['b', ['c']],
      deep: { d: 'e' },
      n: 12_345_678,
      scopes: ['user'],
      url: 'https://u',
      on: true,
    };
    expect(show({ credentials: oauth, after: 'shown' })).toEqual({
      credentials: {
        access: '[redacted]',
        list: ['[redacted]', ['[redacted]']],
        deep: { d: '[redacted]' },
        n: '[redacted]',
        scopes: ['user'],
        url: 'https://u',
        on: true,
      },
      after: 'shown',
    });
  });

  test('a frame without secrets and long strings is shown as it came, whatever it is', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        fc.pre(!/auth|token|secret|pass|key|cred|bearer|cookie|jwt|pat/i.test(text));
        expect(shown(text, 0)).toBe(text);
      }),
    );
  });

  test('a secret is hidden in any text around it, JSON or not, and JSON stays JSON', () => {
    const canary = randomBytes(12).toString('hex');
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.string(), (value, noise) => {
        const text = JSON.stringify({ value, more: [{ token: canary }], [noise]: value });
        const body = shown(text, 20);
        expect(body).not.toContain(canary);
        JSON.parse(body);
        const broken = `${noise.replaceAll('"', '')}"token":"${canary}`;
        expect(shown(`{${broken}`, 0, (t) => t.replaceAll(canary, ''))).not.toContain(canary);
      }),
    );
  });
});

describe('the file', () => {
  test('is owner-only at every open and is appended to', async () => {
    await using daemon = await logged();
    await using client = await connectRaw(daemon);
    await client.call('server.ping');
    await daemon.stop();
    const before = entries(daemon).length;
    expect(before).toBeGreaterThan(1);
    chmodSync(fileOf(daemon), 0o644);
    await daemon.start(['-wire-log', fileOf(daemon)]);
    expect(statSync(fileOf(daemon)).mode & 0o777).toBe(0o600);
    await using again = await connectRaw(daemon);
    await again.call('server.ping');
    await daemon.stop();
    expect(entries(daemon).length).toBeGreaterThan(before);
  });

  test('may be named from the home folder, as in a configuration file, where no shell does it', async () => {
    await using daemon = await startDaemon({ flags: ['-wire-log', '~/wire.jsonl'] });
    expect(statSync(join(daemon.home, 'wire.jsonl')).mode & 0o777).toBe(0o600);
  });

  test.each<[what: string, place: (daemon: TestDaemon) => string, reason: string]>([
    ['in a missing folder', (daemon) => join(daemon.dir, 'missing', 'wire'), 'no such file or directory'],
    ['that is a folder', (daemon) => daemon.home, 'is a directory'],
    [
      'that is a link',
      (daemon) => {
        writeFileSync(join(daemon.dir, 'precious'), 'kept', { mode: 0o644 });
        symlinkSync(join(daemon.dir, 'precious'), join(daemon.dir, 'link'));
        return join(daemon.dir, 'link');
      },
      'too many levels of symbolic links',
    ],
    [
      'that is a pipe',
      (daemon) => {
        execFileSync('mkfifo', [join(daemon.dir, 'pipe')]);
        return join(daemon.dir, 'pipe');
      },
      'no such device or address',
    ],
    ['that is a device', () => '/dev/null', 'it is not a regular file'],
  ])('%s makes the start fail with its reason, and nothing is touched', async (_, place, reason) => {
    const daemon = await prepareDaemon();
    await using _daemon = daemon;
    const path = place(daemon);
    const mode = existsSync(path) ? statSync(path).mode : undefined;
    const result = await daemon.launch(['-wire-log', path]);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toBe(
      `claustrum: wire log: open ${path}: ${reason}\nclaustrum: timeout waiting for daemon to accept on ${daemon.socket}\n`,
    );
    if (mode !== undefined) {
      expect(statSync(path).mode).toBe(mode);
    }
    await waitUntil(() => daemon.daemons().length === 0 || undefined, 'the daemon that could not start to end');
    expect(existsSync(daemon.socket)).toBe(false);
  });

  test('goes on in a new one at its limit, and the older frames are in .old', async () => {
    await using daemon = await logged(['-wire-log-max-bytes', '10000']);
    await using client = await connectRaw(daemon);
    for (let n = 0; n < 60; n++) {
      await client.call('server.ping', { n });
    }
    await daemon.stop();
    const old = readFileSync(`${fileOf(daemon)}.old`, 'utf8');
    const text = old + readFileSync(fileOf(daemon), 'utf8');
    expect(Buffer.byteLength(old)).toBeLessThanOrEqual(10_000);
    expect(statSync(`${fileOf(daemon)}.old`).mode & 0o777).toBe(0o600);
    const ids = [...text.matchAll(/"dir":"in".*?"params":\{"n":(\d+)\}/g)].map(([, n]) => Number(n));
    expect(ids.length).toBeGreaterThan(30);
    expect(ids).toEqual(ids.map((_, at) => (ids[0] as number) + at));
    expect(ids.at(-1)).toBe(59);
  });

  test('that cannot be written costs frames, which the end counts, and no session', async () => {
    await using daemon = await logged(['-wire-log-max-bytes', '2000']);
    mkdirSync(join(`${fileOf(daemon)}.old`, 'full'), { recursive: true });
    await using client = await connectRaw(daemon);
    for (let n = 0; n < 40; n++) {
      await client.call('server.ping', { n });
    }
    await daemon.stop();
    expect(daemon.log().match(/wire log: cannot write .*wire\.jsonl: .*; frames are lost/g)).toHaveLength(1);
    expect(daemon.log()).toMatch(/\[Server\] wire log: [1-9]\d frame\(s\) could not be written: /);
    expect(statSync(fileOf(daemon)).size).toBeLessThanOrEqual(2000);
  });
});
