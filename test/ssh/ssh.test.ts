import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest';
import { type ConnectOptions, connect, type HoldfastError, type Host } from '../../src/client/index.ts';
import { byLength, full, limitMs } from '../faults/support/length.ts';
import { findByArguments, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { readSteadily } from '../support/steady-reader.ts';
import { waitUntil } from '../support/wait.ts';
import { type SshConnection, type SshHost, startSshHost } from './sshd.ts';

const token = randomBytes(16).toString('hex');

let host: SshHost;
let socket: string;
let runDirectories = 0;

beforeAll(async () => {
  host = await startSshHost();
});

afterAll(() => host[Symbol.asyncDispose]());

beforeEach(() => {
  const runDirectory = join(host.dir, `run-${++runDirectories}`);
  socket = join(runDirectory, 'rpc.sock');
  onTestFailed(() => {
    const daemonLog = join(runDirectory, 'remote-server.log');
    console.error(host.log(), existsSync(daemonLog) ? readFileSync(daemonLog, 'utf8') : 'no daemon log');
  });
});

afterEach(async () => {
  for (const daemon of findByArguments(['-serve', '-socket', socket])) {
    signalProcess(daemon, 'SIGTERM');
    await untilEnded(daemon);
  }
});

/** As a client does: the token travels on ssh's standard input and never touches the disk. */
async function serve(): Promise<void> {
  const started = await host.run(`holdfast -serve -socket ${socket} -token-fd 0`, `${token}\n`);
  expect(started).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
}

/** The library on the client's side, through ssh as a user has it. */
function connectOver(options: ConnectOptions = {}): Promise<Host> {
  return connect({ ssh: 'host', sshCommand: [join(host.dir, 'client', 'ssh')], socket, ...options });
}

/** SIGKILL to the ssh client that carries the connection; what was on its way is lost. */
async function killConnection(): Promise<void> {
  const relays = await waitUntil(() => {
    const found = findByArguments(['ssh', `holdfast -bridge -socket ${socket}`]);
    return found.length > 0 && found;
  }, 'an ssh connection');
  for (const relay of relays) {
    signalProcess(relay, 'SIGKILL');
    await untilEnded(relay);
  }
}

/** A connection of single frames, for what the library would not do. */
function bridge(continues?: SshConnection): SshConnection {
  return host.connect(`holdfast -bridge -socket ${socket}`, {
    token,
    ...(continues === undefined ? {} : { continues: continues.client }),
  });
}

test('a daemon started over ssh serves after that ssh session has ended', async () => {
  await serve();
  expect(existsSync(join(dirname(socket), 'daemon.token'))).toBe(false);
  await using client = await connectOver({ token });
  expect(await client.server.ping()).toEqual({ pong: true });
  await expect(connectOver({ token: 'guess' })).rejects.toMatchObject({ kind: 'unauthorized' });
});

test('a token file sent over ssh is read once and gone', async () => {
  const file = join(host.home, 'token');
  expect((await host.run(`umask 077; cat >${file}`, `${token}\n`)).code).toBe(0);
  expect((await host.run(`holdfast -serve -socket ${socket} -token-file ${file}`)).code).toBe(0);
  expect(existsSync(file)).toBe(false);
  // The token stands beside the socket there, and is asked for over ssh.
  await using client = await connectOver();
  expect(await client.server.ping()).toEqual({ pong: true });
  expect((await host.run(`holdfast -stop -socket ${socket}`)).code).toBe(0);
  await waitUntil(() => !existsSync(socket), 'the daemon to end');
});

test('a daemon is started over ssh by the first client, and the next one finds its token', async () => {
  await using first = await connectOver({ flags: ['-wire-profile', 'next'] });
  await using second = await connectOver({ start: false });
  const [description] = await Promise.all([first.describe(), second.describe()]);
  expect(description).toMatchObject({ profile: 'next', instanceId: second.daemon.instanceId });
  const ended = second.server.shutdown().catch((error: unknown) => error);
  expect(await ended).toSatisfy((reply) => 'ok' in (reply as object) || (reply as HoldfastError).maybeDone);
  await second.close();
  await first.close();
});

test('a host that nobody can log in to is said to be so, in the words of ssh', async () => {
  await expect(connectOver({ ssh: 'no-such-host.invalid' })).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/exit code 255: .*no-such-host\.invalid/),
  });
});

test('no byte is lost or doubled in any direction although ssh is killed again and again', {
  timeout: limitMs(60),
}, async () => {
  await serve();
  await using client = await connectOver({ token, retry: { firstMs: 5, maxMs: 100 } });
  const job = await client.spawn({ command: 'tee', args: ['/dev/stderr'] });
  const received = Promise.all([sha256(job.stdout), sha256(job.stderr)]);
  const sent = createHash('sha256');
  const kills = byLength(8, 100);
  let connections = 0;
  client.on('connected', () => connections++);
  for (let killed = 0; killed < kills; killed++) {
    for (let line = 0; line < 20; line++) {
      const text = `${killed} ${line} ${'x'.repeat(line * 2_000)}\n`;
      sent.update(text);
      void job.write(text);
    }
    await killConnection();
    await waitUntil(() => connections > killed, 'the connection to be made anew');
  }
  await job.end();
  const whole = sent.digest('hex');
  expect(await received).toEqual([whole, whole]);
  expect((await job.exit).code).toBe(0);
});

test('a client that reads more slowly than its program writes gets every byte over ssh too', async () => {
  await serve();
  const bytes = 30_000_000;
  const arrived = await readSteadily({
    ...{ rate: 8_000_000, seconds: 3600, token },
    command: `head -c ${bytes} /dev/zero`,
    through: { bridge: [join(host.dir, 'client', 'ssh'), 'host', `holdfast -bridge -socket ${socket}`] },
  });
  expect(arrived).toMatchObject({ bytes, exitCode: 0, gap: false, closed: false });
  const log = readFileSync(join(dirname(socket), 'remote-server.log'), 'utf8');
  expect(log).toMatch(/its client reads more slowly than it writes; holding it back/);
  expect(log).not.toMatch(/slow reader dropped/);
});

// The window of OpenSSH moves by some 100 KB, for which this client needs ten times as long as one may stand still. The short
// form is test/faults/slow-ssh-client.test.ts.
test.runIf(full)(
  'a client of 1 kB a second gets every byte over ssh, however long it takes',
  {
    timeout: limitMs(600),
  },
  async () => {
    await serve();
    const bytes = 40_000_000;
    const arrived = await readSteadily({
      ...{ rate: 1000, seconds: 250, token },
      command: `head -c ${bytes} /dev/zero`,
      through: { bridge: [join(host.dir, 'client', 'ssh'), 'host', `holdfast -bridge -socket ${socket}`] },
    });
    expect(arrived).toMatchObject({ bytes, exitCode: 0, gap: false, closed: false });
    const log = readFileSync(join(dirname(socket), 'remote-server.log'), 'utf8');
    expect(log).toMatch(/its client reads more slowly than it writes; holding it back/);
    expect(log).not.toMatch(/slow reader dropped|holding it back no longer/);
  },
);

test('a line that was sent but never acknowledged is sent again with its offset and arrives once', async () => {
  await serve();
  const lines = ['one\n', 'two, whose reply is lost\n', 'three, which is lost itself\n', 'four\n'] as const;
  const offset = (line: number): number => lines.slice(0, line).join('').length;
  const first = bridge();
  await first.client.spawn('cat', 'cat');
  expect((await first.client.stdin('cat', lines[0], offset(0))).result).toEqual({ success: true, applied: offset(1) });

  // The daemon takes the second line, and its reply is lost with the connection.
  first.client.pauseReading();
  post(first, lines[1], offset(1));
  const second = bridge(first);
  await waitUntil(
    async () => (await second.client.reattach('cat')).stdinApplied === offset(2),
    'the daemon to have taken the second line',
  );
  expect(first.client.replies).toHaveLength(2);
  await first.cut();
  expect((await second.client.stdin('cat', lines[1], offset(1))).result).toEqual({
    success: true,
    applied: offset(2),
    duplicate: true,
  });

  // The third line is lost on its way: a stopped ssh client never reads it.
  second.ssh.kill('SIGSTOP');
  await waitUntil(() => processFacts(second.ssh.pid ?? 0)?.state === 'T', 'the ssh client to stop');
  post(second, lines[2], offset(2));
  await second.cut();
  const third = bridge(second);
  expect(await third.client.reattach('cat')).toMatchObject({ running: true, stdinApplied: offset(2) });
  expect((await third.client.stdin('cat', lines[3], offset(3))).error?.code).toBe(-32003);
  expect((await third.client.stdin('cat', lines[2], offset(2))).result).toEqual({ success: true, applied: offset(3) });
  expect((await third.client.stdin('cat', lines[3], offset(3))).result).toEqual({ success: true, applied: offset(4) });

  await third.client.untilOutput('cat', lines[3]);
  expect(third.client.stream('cat').text()).toBe(lines.join(''));
});

test('the commands in the README, as printed, start a daemon, reach it and stop it', async () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
  const commands = blocks.find((block) => block.includes('ssh host holdfast -serve')) ?? '';
  expect(commands).toContain('ssh host holdfast -stop');
  socket = join(host.home, '.claude', 'remote', 'rpc.sock');
  expect(await runHere(`set -e\n${commands}`)).toEqual({
    code: 0,
    output: '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}\n',
  });
  await waitUntil(() => !existsSync(socket), 'the daemon to end');
});

test('the program needs nothing of a login environment', async () => {
  const version = (await host.run('holdfast -version')).stdout;
  expect(version).toMatch(/^claustrum \S+ \(built \S+\)\n$/);
  const bare = await host.run(`cd / && exec env -i ${join(host.bin, 'holdfast')} -version`);
  expect(bare).toEqual({ code: 0, signal: null, stdout: version, stderr: '' });
  const helpful = await host.run('holdfast -bridge -socket /nonexistent/rpc.sock');
  expect(helpful).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^claustrum: dial server: /) });
});

/** Runs a script on the client's side, where `ssh host` leads to the host. */
function runHere(script: string): Promise<{ code: number | null; output: string }> {
  const child = spawn('sh', ['-c', `exec 2>&1\n${script}`], { env: host.env });
  let output = '';
  child.stdout.on('data', (bytes: Buffer) => {
    output += bytes;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve({ code, output }));
  });
}

function post({ client }: SshConnection, line: string, offset: number): void {
  client.post('process.stdin', { id: 'cat', data: Buffer.from(line).toString('base64'), offset });
}

async function sha256(stream: ReadableStream<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) {
    hash.update(chunk);
  }
  return hash.digest('hex');
}
