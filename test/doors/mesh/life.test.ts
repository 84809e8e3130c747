/** From the start of a mesh daemon to its end (spec mesh.md §3): one for each folder, whatever lies in that folder. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../../modes/run-program.ts';
import { installed, linux, root, testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';
import { TestDaemon } from './test-daemon.ts';

const mode = (path: string): string => (lstatSync(path).mode & 0o7777).toString(8);
const pidFile = (daemon: TestDaemon): string => join(daemon.daemonFolder, 'daemon.pid');

test('acceptance 1: with no mesh joined the start is refused, and no pid file remains', async () => {
  await using daemon = new TestDaemon({ config: undefined });
  expect(await daemon.run(['up'])).toMatchObject({
    code: 2,
    stderr: 'no mesh joined; run `claudemesh join <invite-url>` first\n',
  });
  expect(readdirSync(daemon.daemonFolder)).not.toContain('daemon.pid');
});

test('acceptance 2: of starts at one instant exactly one runs, and the others name it', async () => {
  await using daemon = new TestDaemon();
  const starts = 4;
  const others = new Set<string>();
  const children = Array.from({ length: starts }, () => daemon.begin());
  expect(children).toHaveLength(starts);
  await waitUntil(() => daemon.isStarted && daemon.endedStarts === starts - 1, 'one to run and the others to end');
  for (const { code, stderr } of daemon.endedOutputs) {
    expect(code).toBe(1);
    others.add(stderr);
  }
  const pid = readFileSync(pidFile(daemon), 'utf8');
  expect([...others]).toEqual([`daemon already running (pid ${pid})\n`]);
  expect((await daemon.request('/v1/health')).body?.pid).toBe(Number(pid));
});

describe('what is left in the folder', () => {
  test('acceptance 3: after a kill the next start says so, and works', async () => {
    await using daemon = await TestDaemon.start();
    await daemon.killed();
    expect(existsSync(pidFile(daemon))).toBe(true);
    expect(existsSync(daemon.socket)).toBe(true);
    await daemon.launch();
    expect(daemon.stderr.split('\n')).toContain('recovered stale pid file; starting fresh');
    expect((await daemon.request('/v1/health')).status).toBe(200);
    expect(readFileSync(pidFile(daemon), 'utf8')).toBe(String(daemon.pid));
  });

  test('a clock that was set does not let a second one start', async () => {
    await using daemon = await TestDaemon.start();
    // As after the clock was set forward by ten years: start times of processes move with it, those of files do not.
    const before = Date.now() / 1000 - 10 * 365 * 86_400;
    utimesSync(pidFile(daemon), before, before);
    expect(await daemon.run(['up'])).toMatchObject({ code: 1, stderr: `daemon already running (pid ${daemon.pid})\n` });
    expect((await daemon.run(['status'])).code).toBe(0);
    expect((await daemon.run(['down'])).stdout).toBe(`daemon: stopped (was pid ${daemon.pid})\n`);
  });

  test('a socket of somebody else, a file and a link in its place give way; a folder is named', async () => {
    await using daemon = new TestDaemon({ timings: { answerMs: 300 } });
    mkdirSync(daemon.daemonFolder, { recursive: true });
    writeFileSync(daemon.socket, 'no socket');
    await daemon.launch();
    expect((await daemon.request('/v1/health')).status).toBe(200);
    expect(await daemon.stopped()).toBe(0);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(daemon.socket, resolve));
    try {
      if (process.getuid?.() === 0) {
        chownSync(daemon.socket, 65_534, 65_534);
      }
      expect((await daemon.run(['version'])).code).toBe(1);
      await daemon.launch();
      expect((await daemon.request('/v1/health')).body?.pid).toBe(daemon.pid);
      expect(await daemon.stopped()).toBe(0);
    } finally {
      other.close();
    }
    mkdirSync(daemon.socket);
    const { code, stderr } = await daemon.run(['up']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/daemon\.sock: .*address already in use/),
    });
    expect(existsSync(pidFile(daemon))).toBe(false);
  });

  test('a token file that holds none, or is a pipe, gets a new token; one that does is kept', async () => {
    await using daemon = new TestDaemon();
    mkdirSync(daemon.daemonFolder, { recursive: true });
    execFileSync('mkfifo', [join(daemon.daemonFolder, 'local-token')]);
    await daemon.launch();
    const { token } = daemon;
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect((await daemon.request('/v1/health', { way: 'tcp' })).status).toBe(200);
    await daemon.stopped();
    await daemon.launch();
    expect(daemon.token).toBe(token);
    await daemon.stopped();
    writeFileSync(join(daemon.daemonFolder, 'local-token'), 'short\n');
    await daemon.launch();
    expect(daemon.token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});

test('acceptance 6: whatever the umask, folder and files are for their owner only', async () => {
  for (const umask of ['000', '777']) {
    await using daemon = new TestDaemon({ words: ['--no-tcp'] });
    const started = runProgram(
      'sh',
      ['-c', `umask ${umask}; exec "$0" "$@"`, daemon.program, 'mesh', 'up', '--no-tcp'],
      {
        // Compiled code that is kept would have such a mode too, for every test after this one.
        env: { ...daemon.env, NODE_DISABLE_COMPILE_CACHE: '1' },
        cwd: '/',
      },
    );
    await waitUntil(async () => (await daemon.run(['status'])).code === 0, 'the daemon to answer');
    const found = Object.fromEntries(
      readdirSync(daemon.daemonFolder).map((name) => [name, mode(join(daemon.daemonFolder, name))]),
    );
    expect(mode(daemon.daemonFolder)).toBe('700');
    expect(found, umask).toEqual(
      Object.fromEntries(
        [
          ...['daemon.pid', 'daemon.sock', 'host_fingerprint.json', 'local-token'],
          ...['inbox.db', 'outbox.db'].flatMap((name) => [name, `${name}-shm`, `${name}-wal`]),
        ].map((name) => [name, '600']),
      ),
    );
    expect((await daemon.run(['down'])).code).toBe(0);
    expect((await started).code).toBe(0);
  }
});

test('a folder and files that others could read are closed to them at the start', async () => {
  await using daemon = await TestDaemon.start();
  await daemon.stopped();
  chmodSync(daemon.daemonFolder, 0o755);
  const log = join(daemon.daemonFolder, 'daemon.log');
  writeFileSync(log, '', { mode: 0o644 });
  chmodSync(join(daemon.daemonFolder, 'inbox.db'), 0o644);
  await daemon.launch();
  expect([daemon.daemonFolder, log, join(daemon.daemonFolder, 'inbox.db')].map(mode)).toEqual(['700', '600', '600']);
});

testNeeding(linux, root, installed('setpriv', 'util-linux'))(
  'a folder that another user could redirect is refused by name',
  {},
  async () => {
    await using daemon = new TestDaemon();
    chmodSync(daemon.configFolder, 0o777);
    const { code, stderr } = await daemon.run(['up']);
    expect(code).toBe(1);
    expect(stderr).toContain(daemon.configFolder);
    expect(stderr).toContain('CLAUDEMESH_CONFIG_DIR');
  },
);

describe('the TCP port', () => {
  test.each([[{ CONTAINER: '1' }], [{ KUBERNETES_SERVICE_HOST: '10.0.0.1' }]])(
    'acceptance 15: in a container (%j) there is none, unless --tcp asks for it',
    async (env) => {
      await using daemon = await TestDaemon.start({ words: [], env });
      expect(daemon.stdout).toContain('"tcp":null');
      await daemon.stopped();
      expect(await daemon.run(['up', '--tcp', '--no-tcp'], env)).toMatchObject({
        code: 2,
        stderr: '--tcp and --no-tcp say the opposite of each other\n',
      });
    },
  );

  test('one that is taken is refused with what to do, and leaves nothing behind', async () => {
    await using first = await TestDaemon.start();
    await using second = new TestDaemon({ env: { CLAUDEMESH_DAEMON_TCP_PORT: String(first.tcpPort) } });
    const { code, stderr } = await second.run(['up', '--tcp']);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `127.0.0.1:${first.tcpPort}; pass --no-tcp, or name a free port with CLAUDEMESH_DAEMON_TCP_PORT\n`,
    );
    expect(existsSync(pidFile(second))).toBe(false);
    expect(existsSync(second.socket)).toBe(false);
    expect(await second.run(['up', '--tcp'], { CLAUDEMESH_DAEMON_TCP_PORT: '65536' })).toMatchObject({
      code: 2,
      stderr: 'CLAUDEMESH_DAEMON_TCP_PORT must be a port, 0 to 65535, not 65536\n',
    });
  });
});

test('with CLAUDEMESH_DAEMON_DIR the daemon has its folder elsewhere', async () => {
  await using daemon = new TestDaemon({ words: ['--no-tcp'] });
  const elsewhere = join(daemon.folder, 'elsewhere');
  await daemon.launch({ CLAUDEMESH_DAEMON_DIR: elsewhere });
  expect(daemon.logged('daemon_started')[0]?.sock).toBe(join(elsewhere, 'daemon.sock'));
  expect(existsSync(daemon.daemonFolder)).toBe(false);
});

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '%s ends it with nothing left but what it keeps',
  async (signal) => {
    await using daemon = await TestDaemon.start();
    daemon.signal(signal);
    daemon.signal(signal);
    expect(await daemon.ended()).toBe(0);
    expect(daemon.logged('daemon_shutdown')).toMatchObject([{ signal }]);
    expect(readdirSync(daemon.daemonFolder).sort()).toEqual([
      'host_fingerprint.json',
      'inbox.db',
      'local-token',
      'outbox.db',
    ]);
  },
);

test('a database that cannot be opened refuses the start, and releases the lock', async () => {
  await using daemon = new TestDaemon();
  mkdirSync(join(daemon.daemonFolder, 'outbox.db'), { recursive: true });
  const { code, stderr } = await daemon.run(['up']);
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/outbox\.db/) });
  expect(existsSync(pidFile(daemon))).toBe(false);
});
