/** What can happen to a link and to the daemon behind it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connect, type Host } from '../../src/client/index.ts';
import { full } from '../faults/support/length.ts';
import { makeRelease } from '../keeper/support/release.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { program } from '../support/holdfast.ts';
import { collect, connectTo, proxyTo, quick, start, textOf, untilText } from '../support/host.ts';
import { waitUntil } from '../support/wait.ts';
import { Noise } from '../tools/noise.ts';

function untilDisconnected(host: Host): Promise<string> {
  return new Promise((resolve) => host.once('disconnected', resolve));
}

/** The same daemon again, with another token. */
async function restartWithToken(daemon: TestDaemon, token: string): Promise<void> {
  await daemon.kill();
  Object.assign(daemon, { token });
  await daemon.start();
}

test('a link that is dead and does not say so is found by a ping and made anew', async () => {
  await using daemon = await startDaemon();
  await using proxy = await proxyTo(daemon);
  await using host = await connect({
    ...{ socket: proxy.address, token: daemon.token, ...quick },
    ...{ idlePingMs: 100, pingTimeoutMs: 200 },
  });
  const job = await host.spawn({ command: 'cat' });
  const disconnected = untilDisconnected(host);
  proxy.strike('half-open');
  const written = job.write('hello\n');
  expect(await disconnected).toContain('no answer to a ping for 200 ms');
  await written;
  await untilText(job.stdout, 'hello\n');
});

test('a quiet link that is alive is kept', async () => {
  await using daemon = await startDaemon();
  await using proxy = await proxyTo(daemon);
  await using host = await connect({
    ...{ socket: proxy.address, token: daemon.token, ...quick },
    ...{ idlePingMs: 20, pingTimeoutMs: 1_500 },
  });
  let broken = 0;
  host.on('disconnected', () => broken++);
  const before = proxy.passed.toTarget;
  await waitUntil(() => proxy.passed.toTarget > before + 150, 'two pings');
  expect(broken).toBe(0);
});

test('stalls of 5 s change nothing', { timeout: 60_000 }, async () => {
  const bytes = 2_000_000;
  const rules = 'stall 20000';
  await using daemon = await startDaemon();
  await using proxy = await proxyTo(daemon, { toClient: rules, toTarget: rules });
  await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  const releases = setInterval(() => proxy.release(), 5_000);
  const job = await host.spawn({ command: 'tee', args: ['/dev/stderr'] });
  const output = Promise.all([collect(job.stdout), collect(job.stderr)]);
  const noise = new Noise('stalls').bytes(0, bytes);
  await job.write(noise);
  await job.end();
  const expected = { bytes, sha256: createHash('sha256').update(noise).digest('hex') };
  expect(await output).toEqual([expected, expected]);
  clearInterval(releases);
  expect((await job.exit).code).toBe(0);
});

test.runIf(full)(
  'a half-open link is found and made anew with the times that hold by default',
  {
    timeout: 90_000,
  },
  async () => {
    await using daemon = await startDaemon();
    await using proxy = await proxyTo(daemon);
    await using host = await connect({ socket: proxy.address, token: daemon.token });
    const job = await host.spawn({ command: 'cat' });
    await job.write('hello\n');
    await untilText(job.stdout, 'hello\n');
    const disconnected = untilDisconnected(host);
    proxy.strike('half-open');
    const since = performance.now();
    await disconnected;
    // 15 s without a byte, and 10 s for the answer to a ping; the slack is for a stalled machine.
    expect(performance.now() - since).toBeLessThan(25_000 + 5_000);
    await job.write('again\n');
    await untilText(job.stdout, 'again\n');
  },
);

test('a daemon that was started anew: its old sessions are an error that says why, the rest goes on', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const job = await host.spawn({ command: 'sleep', args: ['60'] });
  const writing = job.write('never read');
  await writing;
  const first = await host.describe();
  await daemon.kill();
  await daemon.start();
  await expect(job.exit).rejects.toMatchObject({
    kind: 'closed',
    message: expect.stringContaining('the daemon no longer knows it'),
  });
  await expect(textOf(job.stdout)).rejects.toMatchObject({ kind: 'closed' });
  await expect(job.write('more')).rejects.toMatchObject({ kind: 'closed' });
  expect((await host.describe()).instanceId).not.toBe(first.instanceId);
});

test('a durable daemon that dies is started again, and its sessions go on as if nothing had happened', async () => {
  await using daemon = await startDaemon({ flags: ['-durable'] });
  await using host = await connect({
    socket: daemon.socket,
    env: daemon.env,
    program,
    start: true,
    flags: ['-durable'],
    ...quick,
  });
  const job = await host.spawn({ command: 'cat' });
  await job.write('before\n');
  await untilText(job.stdout, 'before\n');
  const disconnected = untilDisconnected(host);
  await daemon.kill();
  await disconnected;
  await job.write('after\n');
  await untilText(job.stdout, 'after\n');
  await job.end();
  expect((await job.exit).code).toBe(0);
});

test('a durable daemon that loses its keeper, and does not find it at once, costs a session a pause', async () => {
  await using daemon = await startDaemon({
    flags: ['-durable'],
    failpoints: 'channel.data.before=30*off->3*error(EIO)',
  });
  await using host = await connectTo(daemon);
  const job = await start(host, 'p', 'cat');
  let sent = '';
  for (let line = 1; line <= 100; line++) {
    sent += `${line}\n`;
    await job.write(`${line}\n`);
  }
  await job.until('\n100\n');
  expect(job.stdout).toBe(sent);
  expect(daemon.log()).toMatch(/WARN {2}\[keeper\] the channel to pid \d+ is lost: /);
  await job.session.release();
});

test('a durable daemon is replaced by one of another release, and its sessions go on as if nothing had happened', async () => {
  await using daemon = await startDaemon({ flags: ['-durable'] });
  await using host = await connectTo(daemon);
  const job = await host.spawn({ command: 'cat' });
  await job.write('before\n');
  await untilText(job.stdout, 'before\n');
  const connected = once(host, 'connected');
  daemon.program = makeRelease(join(daemon.dir, 'newer'), { version: '9.9.9', channel: [2, 3] });
  await daemon.start();
  await connected;
  expect(host.daemon.version).toBe('9.9.9');
  await job.write('after\n');
  await untilText(job.stdout, 'after\n');
  await job.end();
  expect((await job.exit).code).toBe(0);
});

test('a daemon that comes back with another token: it is read again where it stands beside the socket', async () => {
  await using daemon = await startDaemon();
  await using host = await connect({ socket: daemon.socket, ...quick });
  const disconnected = untilDisconnected(host);
  await restartWithToken(daemon, 'another');
  await disconnected;
  expect(await host.server.ping()).toEqual({ pong: true });
});

test('a daemon that comes back with another token than the given one ends the connection with that error', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const job = await host.spawn({ command: 'sleep', args: ['60'] });
  await restartWithToken(daemon, 'another');
  await expect(job.exit).rejects.toMatchObject({ kind: 'unauthorized', code: -32001 });
  await expect(host.server.ping()).rejects.toMatchObject({ kind: 'unauthorized' });
});

test.each<[what: string, options: (daemon: TestDaemon) => object, failure: object]>([
  [
    'nobody listens',
    ({ dir }) => ({ socket: join(dir, 'none.sock'), token: 'x' }),
    { kind: 'refused', message: expect.stringContaining('none.sock: ENOENT') },
  ],
  [
    'the token is wrong',
    () => ({ token: 'guess' }),
    { kind: 'unauthorized', message: expect.not.stringContaining('guess') },
  ],
  [
    'the token file is missing',
    ({ dir }) => ({ token: undefined, tokenFile: join(dir, 'nothing') }),
    {
      kind: 'unauthorized',
      message: expect.stringContaining('nothing cannot be read (ENOENT); pass token or tokenFile'),
    },
  ],
  [
    'the command does not exist',
    () => ({ socket: undefined, command: ['/no/such/relay'] }),
    { kind: 'refused', message: expect.stringContaining('/no/such/relay: ENOENT') },
  ],
  [
    'the command ends with a complaint',
    () => ({ socket: undefined, command: ['sh', '-c', 'echo out of order >&2; exit 7'] }),
    { kind: 'refused', message: expect.stringContaining('exit code 7: out of order') },
  ],
  [
    'something else answers',
    () => ({ socket: undefined, command: ['sh', '-c', 'echo welcome; cat'] }),
    { kind: 'protocol', message: expect.stringContaining('"welcome"') },
  ],
  [
    'nothing ever answers',
    () => ({ socket: undefined, command: ['sleep', '60'], connectTimeoutMs: 100 }),
    { kind: 'refused', message: expect.stringContaining('no daemon answers at sleep 60') },
  ],
  ['two ways are given', () => ({ ssh: 'box', command: ['x'] }), { kind: 'unsupported' }],
  ['the destination is an option', () => ({ socket: undefined, ssh: '-oProxyCommand=x' }), { kind: 'unsupported' }],
])('connect says why when %s', async (_, options, failure) => {
  await using daemon = await startDaemon();
  const connecting = connect({ socket: daemon.socket, token: daemon.token, ...quick, ...options(daemon) });
  await expect(connecting).rejects.toMatchObject(failure);
});

test('a daemon is started when nobody answers, and the next client finds its token', async () => {
  await using daemon = await prepareDaemon();
  const place = { socket: daemon.socket, env: daemon.env, program, ...quick };
  await using host = await connect({ ...place, start: true, flags: ['-wire-profile', 'current'] });
  const job = await host.spawn({ command: 'sh', args: ['-c', 'echo $0', 'hello'] });
  expect(await textOf(job.stdout)).toBe('hello\n');
  await using other = await connect(place);
  expect((await other.describe()).profile).toBe('current');
  expect(daemon.daemons()).toHaveLength(1);
});

test('a daemon that is started with a given token keeps it off the disk, and is started again when it has died', async () => {
  await using daemon = await prepareDaemon();
  const tokenFile = join(daemon.dir, 'mine');
  writeFileSync(tokenFile, `${daemon.token}\n`);
  const place = { socket: daemon.socket, env: daemon.env, program, tokenFile, ...quick };
  await using host = await connect({ ...place, start: true });
  await expect(connect({ socket: daemon.socket })).rejects.toMatchObject({ kind: 'unauthorized' });
  const first = await host.describe();
  await daemon.kill();
  expect((await host.describe()).instanceId).not.toBe(first.instanceId);
});

test('a daemon that comes after its launcher has given up finds its token all the same', async () => {
  await using daemon = await prepareDaemon();
  const late =
    'echo "claustrum: timeout waiting for daemon to accept on $3" >&2; (sleep 1; exec "$@") >/dev/null 2>&1 & exit 1';
  const words = ['sh', '-c', late, 'sh', program];
  const place = { socket: daemon.socket, env: daemon.env, program: words, ...quick };
  await using host = await connect({ ...place, start: true });
  expect((await host.describe()).durable).toBe(false);
  // On a busy machine the client may have started a second one meanwhile: of those nobody uses, each ends by itself.
  await waitUntil(() => daemon.daemons().length === 1, 'one daemon');
});

test('a start that fails says what the daemon says', async () => {
  await using daemon = await prepareDaemon();
  const place = { socket: daemon.socket, env: daemon.env, program };
  await expect(connect({ ...place, start: true, flags: ['-wire-profile', 'none'] })).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('invalid value "none" for flag -wire-profile'),
  });
});

test('an aborted signal ends sessions, requests and the connection', async () => {
  await using daemon = await startDaemon();
  const abort = new AbortController();
  const host = await connectTo(daemon, { signal: abort.signal });
  const job = await host.spawn({ command: 'sleep', args: ['60'] });
  const waiting = job.killAndWait({ signal: 'HUP' }).catch((error: unknown) => error);
  const output = textOf(job.stdout).catch((error: unknown) => error);
  abort.abort(new Error('enough'));
  expect(await output).toMatchObject({ kind: 'closed', cause: { message: 'enough' } });
  expect(await waiting).toMatchObject({ kind: 'closed', maybeDone: true });
  await expect(host.server.ping()).rejects.toMatchObject({ kind: 'closed' });
  await expect(connectTo(daemon, { signal: abort.signal })).rejects.toThrow('enough');
});

test('with giveUpMs, a host that stays away ends the connection with what was last seen', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon, { retry: { firstMs: 5, maxMs: 20, giveUpMs: 100 } });
  const job = await host.spawn({ command: 'sleep', args: ['60'] });
  await daemon.kill();
  await expect(job.exit).rejects.toMatchObject({ kind: 'refused' });
});

test('a closed connection leaves the process running, and another one takes it over from where the first has stopped', async () => {
  await using daemon = await startDaemon();
  const script = 'echo one; read line; echo two; read line';
  const host = await connectTo(daemon);
  const job = await host.spawn({ id: 'kept', command: 'sh', args: ['-c', script] });
  await untilText(job.stdout, 'one\n');
  await host.close();
  await using again = await connectTo(daemon);
  const same = await again.session('kept', { fromSeq: job.lastSeq });
  await same.write('go\n');
  await untilText(same.stdout, 'two\n');
  await using third = await connectTo(daemon);
  const whole = await third.session('kept');
  await whole.write('end\n');
  expect(await textOf(whole.stdout)).toBe('one\ntwo\n');
  await expect(third.session('unknown')).rejects.toMatchObject({
    kind: 'closed',
    message: expect.stringContaining('the daemon does not know it'),
  });
});

test('an address is never empty in what a client is told: not of an empty path, nor of an rpc.pipe that names no pipe', async () => {
  for (const target of [{ socket: '' }, { pipe: '' }]) {
    await expect(connect({ ...target, token: 'x' })).rejects.toThrow('the path of the socket is empty');
  }
  await using daemon = await prepareDaemon();
  mkdirSync(daemon.runDir);
  for (const text of ['', '\n', join(daemon.runDir, 'elsewhere.sock'), '\\\\box\\pipe\\claustrum-0123456789abcdef']) {
    writeFileSync(join(daemon.runDir, 'rpc.pipe'), text);
    const attempt = connect({ socket: daemon.socket, token: 'x', retry: { giveUpMs: 0 } });
    await expect(attempt).rejects.toThrow(`nobody answers at ${daemon.socket}: ENOENT`);
  }
});
