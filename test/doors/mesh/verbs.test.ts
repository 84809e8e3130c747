/** What each verb of `claudemesh` prints, plain and as JSON, and how it ends (spec mesh.md §2). */
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cleanEnvironment, program, runHoldfast } from '../../support/holdfast.ts';
import { waitUntil } from '../../support/wait.ts';
import { newMember } from './members.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { TestDaemon } from './test-daemon.ts';

const [alice, bob] = [newMember('alice'), newMember('bob')];
let broker: StandInBroker;
let daemon: TestDaemon;

beforeAll(async () => {
  broker = await StandInBroker.start({ members: [alice, bob] });
  daemon = await TestDaemon.start({ member: alice, brokerUrl: broker.url });
  await waitUntil(() => broker.connected.length === 1, 'the daemon to be connected');
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

const parsed = (text: string): unknown => JSON.parse(text);
const statusOf = async (cid: string): Promise<unknown> =>
  (await daemon.items('/v1/outbox?limit=500')).find(({ client_message_id: id }) => id === cid)?.status;

describe('without a daemon', () => {
  const absent = new TestDaemon();
  afterAll(() => absent[Symbol.asyncDispose]());
  const socket = expect.stringContaining('daemon.sock: connect: no such file or directory');

  test.each([
    [['status'], 1, 'daemon: not running\n', ''],
    [['status', '--json'], 1, '{"running":false}\n', ''],
    [['version'], 1, '', expect.stringMatching(/^daemon unreachable: .*no such file or directory\n$/)],
    [['down'], 0, 'daemon: not running\n', ''],
    [['stop', '--json'], 0, '{"stopped":false,"reason":"not_running"}\n', ''],
    [['outbox'], 1, '', expect.stringMatching(/^daemon unreachable: /)],
    [['outbox', 'requeue', 'x'], 1, '', expect.stringMatching(/^daemon unreachable: /)],
    [['claudemesh', 'send', 'bob', 'x'], 1, '', 'daemon not running; start it with claudemesh daemon up\n'],
    [['claudemesh', 'send', 'bob', 'x', '--json'], 1, '', 'daemon not running; start it with claudemesh daemon up\n'],
  ] as const)('%j', async (words, code, stdout, stderr) => {
    expect(await absent.run(words)).toEqual({ code, signal: null, stdout, stderr });
    // Nobody who only asks gets a folder for it.
    expect(existsSync(absent.daemonFolder)).toBe(false);
  });

  test('the reason names the socket', async () => {
    expect((await absent.run(['version'])).stderr).toEqual(socket);
  });
});

describe('words that are wrong', () => {
  const verbs =
    'usage: claudemesh daemon [up|status|version|down|accept-host|outbox|install-service|uninstall-service]\n';
  test.each([
    [['bogus'], `unknown daemon subcommand: bogus\n${verbs}`],
    [['claudemesh', 'daemon', 'toString'], `unknown daemon subcommand: toString\n${verbs}`],
    [['outbox', 'zap'], 'unknown outbox subcommand: zap\nusage: claudemesh daemon outbox [list|requeue <id>]\n'],
    [['outbox', 'requeue'], 'usage: claudemesh daemon outbox requeue <id> [--new-client-id <id>]\n'],
    [['install-service'], 'pass --mesh <slug> so the service knows which mesh to attach to\n'],
    [['up', '--clone-policy', 'trust'], '--clone-policy must be refuse, warn, allow, not trust\n'],
    [['status', '--loud'], expect.stringMatching(/^Unknown option '--loud'\nusage: claudemesh daemon status/)],
    [['claudemesh', 'send', 'bob'], expect.stringMatching(/^usage: claudemesh send <to> <message> /)],
    [['claudemesh', 'send', 'bob', 'two', 'words'], expect.stringMatching(/^a message of several words .*\nusage: /)],
    [['claudemesh', 'join', 'x'], expect.stringMatching(/^claudemesh join: only the daemon and send are here/)],
    [['claudemesh'], expect.stringMatching(/^usage: claudemesh daemon \[verb\]/)],
  ] as const)('%j', async (words, stderr) => {
    expect(await daemon.run(words)).toEqual({ code: 2, signal: null, stdout: '', stderr });
  });

  test('each verb tells how it is used', async () => {
    const all = await daemon.run(['--help']);
    expect(all.stdout).toContain('\n  install-service --mesh <slug>');
    for (const words of [
      ['--help'],
      ['claudemesh', '--help'],
      ['claudemesh', 'daemon', 'help'],
      ['outbox', '-h'],
      ['claudemesh', 'send', '--help'],
    ]) {
      expect(await daemon.run(words)).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^usage: /) });
    }
  });
});

test('bin/claudemesh is the program by that name', async () => {
  const claudemesh = join(program, '../claudemesh');
  const env = cleanEnvironment(join(daemon.folder, 'home'), { CLAUDEMESH_CONFIG_DIR: daemon.configFolder });
  const { code, stdout } = await runHoldfast(['daemon', 'status'], { program: claudemesh, env });
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: `daemon: running (pid ${daemon.pid})\nsocket: ${daemon.socket}\n`,
  });
});

test('status and version of a daemon that runs', async () => {
  expect(parsed((await daemon.run(['status', '--json'])).stdout)).toEqual({
    running: true,
    pid: daemon.pid,
    health: { ok: true, pid: daemon.pid, brokers: { 'smoke-test': 'open' } },
  });
  expect(await daemon.run(['version'])).toMatchObject({ code: 0, stdout: 'daemon 0.9.0 (ipc v1, schema 1)\n' });
  expect(parsed((await daemon.run(['version', '--json'])).stdout)).toEqual((await daemon.request('/v1/version')).body);
});

test('a daemon that does not answer is told as alive, and one that does not end too', async () => {
  await using stuck = await TestDaemon.start({ timings: { answerMs: 300, downPollMs: 10, downPolls: 3 } });
  stuck.signal('SIGSTOP');
  const { pid } = stuck;
  const reason = 'no answer within 300 ms';
  expect(await stuck.run(['status'])).toMatchObject({
    code: 1,
    stdout: `daemon: pid ${pid} alive but IPC unreachable (${reason})\n`,
  });
  expect(parsed((await stuck.run(['status', '--json'])).stdout)).toEqual({ running: true, pid, ipc_error: reason });
  expect(await stuck.run(['down'])).toMatchObject({
    code: 1,
    stdout: `daemon: signaled but did not exit within 5s (pid ${pid})\n`,
  });
  expect(parsed((await stuck.run(['down', '--json'])).stdout)).toEqual({
    stopped: false,
    pid,
    reason: 'shutdown_timeout',
  });
  stuck.signal('SIGCONT');
  expect(await stuck.ended()).toBe(0);
});

test('version ends with 3 when it is not let in', async () => {
  await using other = new TestDaemon();
  const folder = join(other.folder, 's');
  const server = createServer((_, response) => response.writeHead(401).end('{}'));
  await new Promise<void>((resolve) => server.listen(`${folder}.sock`, resolve));
  try {
    await other.run(['accept-host']);
    renameSync(`${folder}.sock`, other.socket);
    expect(await other.run(['version'])).toMatchObject({ code: 3, stderr: 'daemon unreachable: HTTP 401\n' });
  } finally {
    server.close();
  }
});

describe('send', () => {
  test('is accepted, and says for whom', async () => {
    const plain = await daemon.run(['claudemesh', 'send', ' bob ', 'a word', '--priority', 'now']);
    expect(plain).toMatchObject({ code: 0, stdout: expect.stringMatching(/^sent to bob \(\S+\)\n$/), stderr: '' });
    const json = await daemon.run(['send', 'bob', 'more', '--json', '--priority', 'whenever', '--mesh', 'smoke-test']);
    const told = parsed(json.stdout) as { messageId: string };
    expect(told).toEqual({ ok: true, messageId: expect.any(String), target: 'bob', via: 'daemon', duplicate: false });
    expect(await statusOf(told.messageId)).toBe('pending');
  });

  test.each([
    [['', 'x'], "missing 'to'"],
    [['bob', ''], "missing 'message'"],
    [['bob', 'x', '--mesh', 'other'], 'the daemon serves smoke-test, not other'],
    [[alice.pubkey, 'x'], 'this is your own member key; pass --self to send to your other sessions'],
    [
      [alice.pubkey.slice(0, 16).toUpperCase(), 'x'],
      'this is your own member key; pass --self to send to your other sessions',
    ],
  ] as const)('%j is refused', async (words, error) => {
    const before = (await daemon.items('/v1/outbox?limit=500')).length;
    expect(await daemon.run(['send', ...words])).toEqual({ code: 1, signal: null, stdout: '', stderr: `${error}\n` });
    const { code, stdout } = await daemon.run(['send', ...words, '--json']);
    expect({ code, told: parsed(stdout) }).toEqual({ code: 1, told: { ok: false, error, via: 'daemon' } });
    expect(await daemon.items('/v1/outbox?limit=500')).toHaveLength(before);
  });

  test('goes to the own key with --self', async () => {
    expect((await daemon.run(['send', alice.pubkey, 'x', '--self'])).code).toBe(0);
  });
});

test('outbox lists what became of messages, and requeues what failed', async () => {
  await daemon.send({ to: '*', message: 'hello', client_message_id: 'good' });
  await waitUntil(async () => (await statusOf('good')) === 'done', 'the message to be sent');
  broker.errors.push(`payload too large: ${'9'.repeat(80)}`);
  await daemon.send({ to: '*', message: 'bad', client_message_id: 'bad' });
  await waitUntil(async () => (await statusOf('bad')) === 'dead', 'the message to fail');
  const items = await daemon.items('/v1/outbox?limit=500');
  const [good, bad] = ['good', 'bad'].map((cid) => items.find(({ client_message_id: id }) => id === cid));

  expect((await daemon.run(['outbox', 'list', '--done'])).stdout).toBe(
    `done     ${good?.id}  cid=good  attempts=1 → ${good?.broker_message_id}\n`,
  );
  // The first of the list of flags counts, and the error is cut at 60 characters.
  expect((await daemon.run(['outbox', '--done', '--failed'])).stdout).toBe(
    `dead     ${bad?.id}  cid=bad  attempts=1 last_error="${`payload too large: ${'9'.repeat(80)}`.slice(0, 60)}"\n`,
  );
  expect((await daemon.run(['outbox', '--aborted'])).stdout).toBe('(empty)\n');
  expect(parsed((await daemon.run(['outbox', '--failed', '--json'])).stdout)).toEqual({ items: [bad] });

  const requeued = await daemon.run(['outbox', 'requeue', String(bad?.id), '--new-client-id', 'again']);
  expect(requeued).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      new RegExp(`^requeued: aborted ${bad?.id} → new [0-9a-f-]{36} \\(client_message_id=again\\)\n$`),
    ),
  });
  await waitUntil(async () => (await statusOf('again')) === 'done', 'the new row to be sent');
  expect((await daemon.run(['outbox', '--aborted'])).stdout).toMatch(
    /^aborted {2}\S+ {2}cid=bad {2}attempts=1 last_error=/,
  );
  expect(await daemon.run(['outbox', 'requeue', String(bad?.id)])).toEqual({
    code: 1,
    signal: null,
    stdout: '',
    stderr: 'requeue failed (409): row not found, already aborted, or already done\n',
  });
  // `bob` is not there, so this one waits.
  await daemon.send({ to: 'bob', message: 'x', client_message_id: 'waits' });
  const [waits] = (await daemon.items('/v1/outbox')).filter(({ client_message_id: id }) => id === 'waits');
  expect((await daemon.run(['outbox', 'requeue', String(waits?.id), '--new-client-id', 'good'])).stderr).toBe(
    'requeue failed (409): client_message_id in use\n',
  );
  const json = await daemon.run(['outbox', 'requeue', String(waits?.id), '--json']);
  expect(parsed(json.stdout)).toEqual({
    aborted_row_id: waits?.id,
    new_row_id: expect.any(String),
    new_client_message_id: expect.any(String),
  });
});

test('threat 10: a key that somebody chose makes one line, and nothing that a terminal obeys', async () => {
  const key = 'a\n[31m\u001b[31m\u009b2J\u202e\u007fb';
  await daemon.send({ to: 'nobody', message: 'x', client_message_id: key });
  const { stdout } = await daemon.run(['outbox', '--pending']);
  const json = await daemon.run(['outbox', '--pending', '--json']);
  const obeyed = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/;
  expect([stdout, json.stdout, daemon.output].map((text) => obeyed.exec(text))).toEqual([null, null, null]);
  const lines = stdout.trim().split('\n').length;
  const { items } = parsed(json.stdout) as { items: { client_message_id: string }[] };
  expect(items.map(({ client_message_id: id }) => id)).toContain(key);
  expect(lines).toBe(items.length);
});

test('up in a folder whose daemon runs is refused with its number', async () => {
  for (const words of [['up'], ['start'], [], ['--no-tcp']]) {
    expect(await daemon.run(words)).toMatchObject({ code: 1, stderr: `daemon already running (pid ${daemon.pid})\n` });
  }
  expect(readFileSync(join(daemon.daemonFolder, 'daemon.pid'), 'utf8')).toBe(String(daemon.pid));
});
