/** Whom a daemon takes for its keeper (spec durable.md §4; threat 16, fault 18): a record proves nothing, and nobody is harmed by it. */
import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, connect as dial, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { isRunning, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { keeperOf, readRecord, recordFile } from './support/keeper.ts';

const flags = ['-durable'];

/** A program of this user that a forged record may name. */
function bystander(): { readonly pid: number; readonly start: string } {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const found = processFacts(child.pid ?? 0);
  if (found === undefined) {
    throw new Error('sleep has not started');
  }
  return found;
}

function writeRecord(daemon: TestDaemon, record: object): void {
  writeFileSync(recordFile(daemon), JSON.stringify(record), { mode: 0o600 });
}

test('a keeper whose daemon has ended before it has connected ends too, and leaves nothing', async () => {
  await using daemon = await prepareDaemon({ flags, failpoints: 'durable.start.after=1*kill' });
  await daemon.launch();
  await waitUntil(() => daemon.processes().length === 0, 'the keeper to end');
  expect(readdirSync(daemon.runDir).filter((name) => name.startsWith('keeper'))).toEqual([]);
});

test.each<[field: string, forge: (record: Record<string, unknown>) => Record<string, unknown>, verdict: RegExp]>([
  ['pid', (record) => ({ ...record, ...pidOf(bystander()) }), /refused: pid \d+: pid \d+ listens on its socket/],
  [
    'pid, a word',
    (record) => ({ ...record, pid: 'one' }),
    /refused: pid unknown: keeper\.json is no record of a keeper: "pid"/,
  ],
  [
    'pid, of nobody',
    (record) => ({ ...record, pid: 2 ** 22 - 3 }),
    /refused: pid \d+: pid \d+ is gone, but pid \d+ listens on its socket/,
  ],
  [
    'start time',
    (record) => ({ ...record, startTime: '1' }),
    /refused: pid \d+: pid \d+ is another process, but pid \d+ listens on its socket/,
  ],
  [
    'boot id',
    (record) => ({ ...record, boot: 'ffffffff-0000-4000-8000-000000000000' }),
    /refused: pid \d+: pid \d+ was of another boot, but pid \d+ listens on its socket/,
  ],
  ['pid, a group', (record) => ({ ...record, pid: -1 }), /refused: pid unknown: .*"pid"/],
  [
    'pid namespace',
    (record) => ({ ...record, pidNamespace: 'pid:[1]' }),
    /refused: pid \d+: it belongs to another pid namespace/,
  ],
  [
    'socket',
    (record) => ({ ...record, socket: '/nonexistent/keeper.sock' }),
    /refused: pid \d+: its socket cannot be reached/,
  ],
  [
    'cookie',
    (record) => ({ ...record, cookie: randomBytes(32).toString('hex') }),
    /refused: pid \d+: it does not know the cookie of the record/,
  ],
  ['cookie, too short', (record) => ({ ...record, cookie: 'ab' }), /refused: pid unknown: .*"cookie"/],
  ['channel', (record) => ({ ...record, channel: [2, 1] }), /refused: pid unknown: .*"channel"/],
  ['version', (record) => ({ ...record, version: '' }), /refused: pid unknown: .*"version"/],
  ['startedAt', (record) => ({ ...record, startedAt: 'now' }), /refused: pid unknown: .*"startedAt"/],
  ['all of it', () => ({}), /refused: pid unknown/],
])(
  'threat 16: a record with a forged %s is refused: nobody is signalled, nothing is removed, files and git are served',
  async (_, forge, verdict) => {
    await using daemon = await startDaemon({ flags });
    const first = await connectRaw(daemon);
    await first.spawn('p', 'cat');
    const keeper = await keeperOf(daemon);
    await daemon.stop();
    const honest = readRecord(daemon);
    const forged = forge({ ...honest });
    writeRecord(daemon, forged);
    await daemon.start();
    await using client = await connectRaw(daemon);
    const refused = await client.request('process.spawn', { id: 'q', command: 'cat' });
    expect(refused.error).toEqual({
      code: -32603,
      message: expect.stringMatching(/^session keeper unreachable: refused: /),
    });
    expect((await client.request('files.stat', { path: '/' })).error).toBeUndefined();
    expect(daemon.log()).toMatch(verdict);
    expect(JSON.parse(readFileSync(recordFile(daemon), 'utf8'))).toEqual(forged);
    expect(isRunning(keeper)).toBe(true);
    const named = processFacts(Math.max(0, Number(forged.pid) || 0));
    expect(named === undefined || isRunning(named)).toBe(true);
    // With the right record it is found again by itself.
    writeRecord(daemon, honest);
    await waitUntil(
      async () => (await client.request('process.reattach', { id: 'p' })).result?.found,
      'the keeper to be adopted',
    );
  },
);

function pidOf({ pid, start }: { readonly pid: number; readonly start: string }): object {
  return { pid, startTime: start };
}

test.each<[what: string, forge: (record: Record<string, unknown>) => object, verdict: RegExp]>([
  [
    'of another boot',
    (record) => ({ ...record, boot: 'ffffffff-0000-4000-8000-000000000000' }),
    /dead: pid \d+ was of another boot; 0 children ended/,
  ],
  [
    'of a pid that is somebody else by now',
    (record) => ({ ...record, startTime: '1' }),
    /dead: pid \d+ is another process; 0 children ended/,
  ],
  ['of a pid that is gone', (record) => ({ ...record, pid: 2 ** 22 - 3 }), /dead: pid \d+ is gone; 0 children ended/],
])(
  'fault 18: a record %s is of a dead keeper: a new one is started, and nobody is signalled',
  async (_, forge, verdict) => {
    await using daemon = await startDaemon({ flags });
    const first = await connectRaw(daemon);
    await first.spawn('p', 'true');
    await first.exitOf('p');
    await first.call('holdfast.release', { id: 'p' });
    const keeper = await keeperOf(daemon);
    const honest = readRecord(daemon);
    await daemon.stop();
    await untilEnded(keeper);
    const { pid, start } = bystander();
    const forged = forge({ ...honest, pid, startTime: start, socket: join(daemon.runDir, 'keeper.sock') });
    writeRecord(daemon, forged);
    await daemon.start();
    await using client = await connectRaw(daemon);
    await client.spawn('q', 'cat');
    expect(daemon.log()).toMatch(verdict);
    expect(processFacts(pid)?.start).toBe(start);
  },
);

test('threat 16: a process that listens in the place of the keeper and does not know the cookie learns nothing and is refused', async () => {
  await using daemon = await prepareDaemon({ flags });
  const folder = mkdtempSync('/tmp/hf-');
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'fake');
  const said: Buffer[] = [];
  const connections: Socket[] = [];
  const server = createServer((peer) => {
    connections.push(peer);
    peer.on('data', (bytes) => {
      said.push(bytes);
      // It answers as a keeper would, with a proof of its own.
      const nonce = randomBytes(32).toString('hex');
      const proof = createHmac('sha256', randomBytes(32)).update('guess').digest('hex');
      const text = JSON.stringify({ version: '1.0.0', channel: [1, 1], nonce, proof, speak: 1 });
      const head = Buffer.alloc(16);
      head.writeUInt32LE(2, 0);
      head.writeUInt32LE(Buffer.byteLength(text), 8);
      peer.write(Buffer.concat([head, Buffer.from(text)]));
    });
    peer.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(() => {
    for (const each of connections) {
      each.destroy();
    }
    server.close();
  });
  const own = processFacts(process.pid) as NonNullable<ReturnType<typeof processFacts>>;
  await daemon.start();
  const keeper = await keeperOf(daemon);
  const honest = readRecord(daemon);
  // A keeper that has never seen its daemon waits half a minute for it.
  await waitUntil(() => daemon.log().includes(`connected to pid ${keeper.pid}`), 'the daemon to reach its keeper');
  await daemon.stop();
  await untilEnded(keeper);
  const cookie = randomBytes(32).toString('hex');
  writeRecord(daemon, { ...honest, pid: own.pid, startTime: own.start, socket, cookie });
  await daemon.start();
  await using client = await connectRaw(daemon);
  const { error } = await client.request('process.spawn', { id: 'p', command: 'cat' });
  expect(error?.message).toBe(
    `session keeper unreachable: refused: pid ${own.pid}: it does not know the cookie of the record`,
  );
  const heard = Buffer.concat(said).toString('latin1');
  expect(heard).toContain('"nonce"');
  expect(heard).not.toContain(cookie);
  expect(heard).not.toContain(daemon.token);
});

test('threat 16: whoever connects to a keeper without the cookie is sent away, and gets no session', async () => {
  await using daemon = await startDaemon({ flags, timings: { keeperAnswerMs: 500 } });
  await using client = await connectRaw(daemon);
  await client.spawn('p', 'cat');
  const { socket } = readRecord(daemon);
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    randomBytes(200_000),
    Buffer.alloc(64),
  ]) {
    const stranger = dial(String(socket));
    stranger.on('error', () => {}).resume();
    stranger.write(bytes);
    await new Promise((resolve) => stranger.once('close', resolve));
  }
  await client.stdin('p', 'undisturbed\n');
  await client.untilOutput('p', 'undisturbed');
  await daemon.untilLogged(/WARN {2}\[keeper\] a daemon was refused: /);
});

test('a channel that is lost costs the clients one connection, and they find their sessions again', async () => {
  await using daemon = await startDaemon({ flags, failpoints: 'channel.data.before=30*off->1*error(EIO)' });
  const first = await connectRaw(daemon);
  await first.spawn('p', 'sh', ['-c', 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done']);
  await first.untilClosed();
  await using second = await connectRaw(daemon, { continues: first });
  await second.reattach('p');
  await second.untilOutput('p', '\n100\n');
  const seen = second.stream('p').text().trimEnd().split('\n').map(Number);
  expect(seen).toEqual(seen.map((_, index) => index + 1));
  await daemon.untilLogged(/WARN {2}\[keeper\] the channel to pid \d+ is lost: /);
});

test('input that was answered with an unreachable keeper may have come: repeated with its offset, it comes once', async () => {
  // The result of the spawn is read, that of the input is not.
  await using daemon = await startDaemon({ flags, failpoints: 'channel.result.before=1*off->1*error(EIO)' });
  const first = await connectRaw(daemon);
  await first.spawn('p', 'cat');
  const { error } = await first.stdin('p', 'once\n', 0);
  expect(error).toMatchObject({ code: -32603, message: expect.stringMatching(/^session keeper unreachable: /) });
  await first.untilClosed();
  await using second = await connectRaw(daemon, { continues: first });
  await second.reattach('p');
  expect((await second.stdin('p', 'once\n', 0)).result).toMatchObject({ applied: 5, duplicate: true });
  await second.stdin('p', 'and on\n', 5);
  await second.untilOutput('p', 'and on\n');
  expect(second.stream('p').text()).toBe('once\nand on\n');
});

test('a keeper that cannot be reached twice in a row is tried every second, and clients are told meanwhile', async () => {
  await using daemon = await startDaemon({ flags, failpoints: 'channel.data.before=12*off->2*error(EIO)' });
  await using client = await connectRaw(daemon);
  await waitUntil(async () => {
    const { error } = await client.request('process.reattach', { id: 'nobody' });
    return error?.message.startsWith('session keeper unreachable: ');
  }, 'a request to be refused');
  expect((await client.request('server.ping')).result).toEqual({ pong: true });
  await waitUntil(
    async () => (await client.request('process.reattach', { id: 'nobody' })).error === undefined,
    'the keeper to be reached',
  );
});

test('the record is for its owner alone, and the socket too', async () => {
  await using daemon = await startDaemon({ flags });
  await keeperOf(daemon);
  for (const name of ['keeper.json', 'keeper.sock', 'keeper.log']) {
    expect.soft(statSync(join(daemon.runDir, name)).mode & 0o777, name).toBe(0o600);
  }
});

test('sessions whose arguments fill more than 16 MiB together are listed, and adopted by the next daemon', {
  timeout: 120_000,
}, async () => {
  const words = ['-c', 'cat', 'sh', ...Array.from({ length: 8 }, () => 'x'.repeat(118_000))];
  const ids = Array.from({ length: 18 }, (_, index) => `p${index}`);
  await using daemon = await startDaemon({ flags: ['-durable'] });
  const first = await connectRaw(daemon);
  for (const id of ids) {
    await first.spawn(id, 'sh', words);
  }
  const sessions = (await first.call('holdfast.sessions')).sessions as { id: string; args: string[] }[];
  expect(sessions.map(({ id, args }) => [id, args.join('').length])).toEqual(
    ids.map((id) => [id, words.join('').length]),
  );
  const keeper = await keeperOf(daemon);
  await daemon.kill();
  await daemon.start();
  expect(daemon.log()).toContain(`adopted pid ${keeper.pid} (`);
  expect(daemon.log()).toContain(`: ${ids.length} running, 0 ended sessions`);
  await using second = await connectRaw(daemon);
  expect(await second.call('holdfast.release', { all: true })).toEqual({ released: ids.length });
});
