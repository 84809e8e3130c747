/** `-serve`: the launcher's answers, the files of the run directory, the token, the log (spec modes.md §5–§7, wire.md §8). */

import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Host } from '../../src/client/index.ts';
import { type DaemonOptions, prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { type RunResult, scriptForTests } from '../support/holdfast.ts';
import { connectTo, start } from '../support/host.ts';
import { requireKnownFailpoints } from '../support/known-failpoints.ts';
import { isRunning, type ProcessFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { holdLock, node, ownScript } from './lock-holder.ts';

const profiles = ['S', 'current', 'next'] as const;
/** So long that a launcher that waits for its bound fails the test. */
const never = 10 * 60_000;

/** The daemon may close the connection before its reply is out. */
async function shutDown(client: Host): Promise<void> {
  const disconnected = once(client, 'disconnected');
  client.server.shutdown().catch(() => {});
  await disconnected;
}

const mode = (path: string): number => lstatSync(path).mode & 0o777;
const timeout = (daemon: TestDaemon): string => `claustrum: timeout waiting for daemon to accept on ${daemon.socket}`;
const inRunDir = (daemon: TestDaemon, name: string): string => join(daemon.runDir, name);
const tokenFile = (daemon: TestDaemon): string => inRunDir(daemon, 'daemon.token');

/** Stops the next start right after its bind, while the file exists that is named here. */
function pauseAfterListen(daemon: TestDaemon): string {
  const pause = join(daemon.dir, 'pause');
  const rule = `daemon.listen.after=pause(${pause})`;
  requireKnownFailpoints(rule);
  daemon.env.HOLDFAST_FAILPOINTS = rule;
  return pause;
}

/** `-serve` on this daemon's socket with these words. */
function serve(daemon: TestDaemon, words: readonly string[], input?: string | Buffer): Promise<RunResult> {
  return daemon.run(['-serve', '-socket', daemon.socket, ...words], input);
}

describe.each(profiles)('profile %s: a daemon', (profile) => {
  test('has its files for the owner alone, whatever the umask, and leaves the log and the lock when it ends', async () => {
    const through = ['sh', '-c', 'umask 0; exec "$@"', 'sh'];
    await using daemon = await startDaemon({ profile, through });
    const lock = profile === 'S' ? [] : ['daemon.lock'];
    const files = [...lock, 'daemon.token', 'remote-server.log', 'rpc.sock'];
    expect(readdirSync(daemon.runDir).sort()).toEqual(files);
    expect(Object.fromEntries(files.map((name) => [name, mode(inRunDir(daemon, name)).toString(8)]))).toEqual(
      Object.fromEntries(files.map((name) => [name, '600'])),
    );
    expect(mode(daemon.runDir)).toBe(0o700);
    expect(lstatSync(daemon.socket).isSocket()).toBe(true);
    expect(readFileSync(tokenFile(daemon), 'utf8')).toBe(daemon.token);
    await daemon.stop();
    expect(readdirSync(daemon.runDir).sort()).toEqual([...lock, 'remote-server.log']);
    for (const name of lock) {
      expect(statSync(inRunDir(daemon, name)).size).toBe(0);
    }
  });

  test('that is killed leaves socket and token, and the next start takes their place', async () => {
    await using daemon = await startDaemon({ profile });
    await daemon.kill();
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([true, true]);
    await daemon.start();
    await using client = await connectTo(daemon);
    await client.request('server.ping');
  });

  test('says in its log where it listens, who looked, and how many files its children may open', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const limit = await start(client, 'limit', 'sh', ['-c', 'ulimit -n']);
    await limit.ended();
    const { instanceId } = await client.request('server.capabilities');
    const lines = readFileSync(inRunDir(daemon, 'remote-server.log'), 'utf8').split('\n');
    const open = limit.stdout.trim();
    expect(lines[0]).toMatch(
      new RegExp(
        `^[\\d/]{10} [\\d:]{8} INFO  \\[daemon\\] child processes will start with an open-files limit of ${open}$`,
      ),
    );
    const suffix = profile === 'next' ? ` (pid ${daemon.pid()}, instance ${instanceId})` : '';
    expect(lines).toContain(`Claustrum remote server listening on ${daemon.socket}${suffix}`);
    const texts = lines.map((line) => line.replace(/^[\d/]{10} [\d:]{8} /, ''));
    const banner = texts.indexOf(`Claustrum remote server listening on ${daemon.socket}${suffix}`);
    const cleaner = `INFO  [daemon] host cleaning off: socket path "${daemon.socket}" is not <root>/run/<id>/rpc.sock`;
    expect(texts.indexOf(cleaner)).toBe(profile === 'next' ? banner + 1 : -1);
    const look = texts.indexOf('INFO  [Server] New connection from: @');
    expect(texts.indexOf('INFO  [Server] Connection closed: @')).toBeGreaterThan(look);
  });

  test('prints nothing on a good start', async () => {
    await using daemon = await prepareDaemon({ profile });
    expect(await daemon.launch()).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
  });
});

describe('what is removed at the end', () => {
  test('is not a token file or a socket that somebody else has put there', async () => {
    await using daemon = await startDaemon();
    await using client = await connectTo(daemon);
    for (const path of [tokenFile(daemon), daemon.socket]) {
      writeFileSync(`${path}.new`, 'mine', { mode: 0o600 });
      renameSync(`${path}.new`, path);
    }
    const target = daemon.process();
    await shutDown(client);
    await untilEnded(target);
    expect(readFileSync(tokenFile(daemon), 'utf8')).toBe('mine');
    expect(readFileSync(daemon.socket, 'utf8')).toBe('mine');
  });

  test('is a socket whose mode or time somebody has changed', async () => {
    await using daemon = await startDaemon();
    chmodSync(daemon.socket, 0o666);
    chmodSync(tokenFile(daemon), 0o644);
    await daemon.stop();
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([false, false]);
  });
});

describe('a start', () => {
  test('makes missing folders for the owner alone and leaves existing ones as they are', async () => {
    await using daemon = await prepareDaemon({ socketName: '../a/b/c/rpc.sock' });
    mkdirSync(join(daemon.dir, 'a'));
    chmodSync(join(daemon.dir, 'a'), 0o755);
    await daemon.start();
    const [c, b, a] = [dirname(daemon.socket), dirname(dirname(daemon.socket)), join(daemon.dir, 'a')];
    expect([a, b, c].map(mode)).toEqual([0o755, 0o700, 0o700]);
  });

  test('with a relative socket path serves it below the folder it was started in', async () => {
    await using daemon = await prepareDaemon();
    const token = join(daemon.dir, 'token-file');
    writeFileSync(token, `${daemon.token}\n`);
    const words = ['-serve', '-socket', 'run/rpc.sock', '-token-file', 'token-file'];
    const result = await daemon.runIn(daemon.dir, words);
    expect(result).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    await using client = await connectTo(daemon);
    const where = await start(client, 'where', 'pwd');
    await where.ended();
    expect(where.stdout).toBe(`${daemon.dir}\n`);
    expect(daemon.log()).toContain('\nClaustrum remote server listening on run/rpc.sock\n');
    await shutDown(client);
    await waitUntil(() => !existsSync(daemon.socket) && !existsSync(tokenFile(daemon)), 'the files to be removed');
  });

  test.each(['missing', 'link'])(
    'with a path that climbs out of a %s serves it where it reads as if it were',
    async (way) => {
      await using daemon = await prepareDaemon();
      mkdirSync(join(daemon.home, 'deep'));
      symlinkSync(join(daemon.home, 'deep'), join(daemon.dir, 'link'));
      writeFileSync(join(daemon.dir, 'token-file'), daemon.token);
      const socket = ['-socket', `${way}/../run/rpc.sock`];
      const result = await daemon.runIn(daemon.dir, ['-serve', ...socket, '-token-file', 'token-file']);
      expect(result).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
      await using client = await connectTo(daemon);
      expect(await client.request('server.ping')).toEqual({ pong: true });
      const disconnected = once(client, 'disconnected');
      expect(existsSync(join(daemon.dir, 'missing'))).toBe(false);
      expect((await daemon.runIn(daemon.dir, ['-wire-profile', 'next', '-stop', ...socket])).stdout).toBe('stopped\n');
      await disconnected;
    },
  );

  test('clears the half-published token of a daemon that was killed, and no file that only looks like it', async () => {
    await using daemon = await prepareDaemon();
    mkdirSync(daemon.runDir, { mode: 0o700 });
    const [left, other] = ['daemon.token-0123456789ab', 'daemon.token-of-mine'].map((name) => inRunDir(daemon, name));
    for (const path of [left, other]) {
      writeFileSync(path as string, 'secret');
    }
    await daemon.start();
    expect(existsSync(left as string)).toBe(false);
    expect(existsSync(other as string)).toBe(true);
  });

  test('clears a pipe name that was left behind', async () => {
    await using daemon = await prepareDaemon();
    mkdirSync(daemon.runDir, { mode: 0o700 });
    writeFileSync(inRunDir(daemon, 'rpc.pipe'), '\\\\.\\pipe\\claustrum-0123456789abcdef');
    await daemon.start();
    expect(existsSync(inRunDir(daemon, 'rpc.pipe'))).toBe(false);
  });
});

test.each([
  ['S', []],
  ['current', []],
  ['next', ['-files-read-regular-only is deprecated and has no effect: only regular files are read']],
] as const)('profile %s: -files-read-regular-only is answered with %j', async (profile, warnings) => {
  await using daemon = await startDaemon({ profile, flags: ['-files-read-regular-only'] });
  expect(Array.from(daemon.log().matchAll(/ WARN {2}\[Server\] (.*)$/gm), ([, text]) => text)).toEqual(warnings);
});

describe('the token', () => {
  test('of a file is read once, and the file is gone', async () => {
    await using daemon = await prepareDaemon();
    const file = join(daemon.dir, 'mine');
    writeFileSync(file, 'first line\r\nsecond\n');
    expect((await serve(daemon, ['-token-file', file])).code).toBe(0);
    expect(existsSync(file)).toBe(false);
    expect(readFileSync(tokenFile(daemon), 'utf8')).toBe('first line');
    await using client = await connectTo({ socket: daemon.socket, token: 'first line' });
    expect(await client.request('server.ping')).toEqual({ pong: true });
  });

  test('of a file that cannot be removed is used all the same, and that is said', async () => {
    await using daemon = await prepareDaemon();
    const file = '/proc/sys/kernel/hostname';
    expect((await serve(daemon, ['-token-file', file])).code).toBe(0);
    await using client = await connectTo({ socket: daemon.socket, token: hostname() });
    expect(await client.request('server.ping')).toEqual({ pong: true });
    expect(daemon.log()).toMatch(
      /WARN {2}\[daemon\] failed to remove token file: unlink \/proc\/sys\/kernel\/hostname: (permission denied|operation not permitted)\n/,
    );
  });

  test.each([
    ['to its first line end', 'by descriptor\nrest'],
    ['to its end', 'by descriptor'],
  ])('of a descriptor is read %s, touches no disk and clears one that an earlier start left', async (_, input) => {
    await using daemon = await startDaemon();
    await daemon.kill();
    expect(existsSync(tokenFile(daemon))).toBe(true);
    expect((await serve(daemon, ['-token-fd', '0'], input)).code).toBe(0);
    await using client = await connectTo({ socket: daemon.socket, token: 'by descriptor' });
    expect(await client.request('server.ping')).toEqual({ pong: true });
    expect(existsSync(tokenFile(daemon))).toBe(false);
    expect(daemon.log()).not.toContain('by descriptor');
  });

  test('of a descriptor wins over a file, which is neither read nor removed', async () => {
    await using daemon = await prepareDaemon();
    const file = join(daemon.dir, 'mine');
    writeFileSync(file, 'of the file');
    expect((await serve(daemon, ['-token-file', file, '-token-fd', '0'], 'of the descriptor')).code).toBe(0);
    await using client = await connectTo({ socket: daemon.socket, token: 'of the descriptor' });
    expect(await client.request('server.ping')).toEqual({ pong: true });
    expect(readFileSync(file, 'utf8')).toBe('of the file');
  });

  test('stands in no argument, no environment, no log and no child', async () => {
    await using daemon = await startDaemon({ profile: 'next', env: { CLAUDE_RPC_TOKEN: 'ambient-secret' } });
    await using client = await connectTo(daemon);
    const env = await start(client, 'env', 'sh', ['-c', 'tr "\\0" "\\n" </proc/self/environ; cat /proc/$PPID/cmdline']);
    await env.ended();
    const seen = [
      readFileSync(`/proc/${daemon.pid()}/environ`, 'latin1'),
      readFileSync(`/proc/${daemon.pid()}/cmdline`, 'latin1'),
      env.stdout,
      daemon.log(),
    ].join('\n');
    expect(seen).not.toContain(daemon.token);
    expect(env.stdout).not.toMatch(/ambient-secret|CLAUDE_RPC_TOKEN/);
  });

  test('in the environment is no token', async () => {
    await using daemon = await prepareDaemon({
      env: { CLAUDE_RPC_TOKEN: 'ambient' },
      timings: { launcherWaitMs: never },
    });
    const { code, stderr } = await serve(daemon, []);
    expect([code, stderr.split('\n')[0]]).toEqual([
      1,
      'claustrum: daemonized child requires --token-file or --token-fd',
    ]);
  });

  test('that cannot be kept in the run directory is told, and the daemon serves', async () => {
    await using daemon = await prepareDaemon();
    mkdirSync(tokenFile(daemon), { recursive: true });
    writeFileSync(join(tokenFile(daemon), 'in the way'), '');
    chmodSync(daemon.runDir, 0o700);
    await daemon.start();
    await using client = await connectTo(daemon);
    expect(await client.request('server.ping')).toEqual({ pong: true });
    expect(daemon.log()).toMatch(/ \[daemon\] failed to persist token: \S/);
    expect(readdirSync(daemon.runDir).filter((name) => name.startsWith('daemon.token-'))).toEqual([]);
    await daemon.stop();
    expect(existsSync(join(tokenFile(daemon), 'in the way'))).toBe(true);
  });
});

describe.each(profiles)(
  'profile %s: a start that fails says why at once, the contract’s text last, with exit code 1:',
  (profile) => {
    interface Failure {
      readonly words: (daemon: TestDaemon) => string[];
      readonly reasons: (daemon: TestDaemon) => string[];
      readonly prepare?: (daemon: TestDaemon) => void;
    }
    const file = (daemon: TestDaemon): string => join(daemon.dir, 'mine');

    const failures: Record<string, Failure> = {
      'without a token': {
        words: () => [],
        reasons: () => ['claustrum: daemonized child requires --token-file or --token-fd'],
      },
      'with a token file that is missing': {
        words: (daemon) => ['-token-file', file(daemon)],
        reasons: (daemon) => [`claustrum: read --token-file: open ${file(daemon)}: no such file or directory`],
      },
      'with a token file that is a folder': {
        prepare: (daemon) => mkdirSync(file(daemon)),
        words: (daemon) => ['-token-file', file(daemon)],
        reasons: (daemon) => [`claustrum: read --token-file: read ${file(daemon)}: is a directory`],
      },
      'with an empty token file': {
        prepare: (daemon) => writeFileSync(file(daemon), '\n'),
        words: (daemon) => ['-token-file', file(daemon)],
        reasons: () => ['claustrum: read --token-file: token is empty'],
      },
      'with a folder in the place of the socket': {
        prepare: (daemon) => {
          writeFileSync(file(daemon), 'token');
          mkdirSync(daemon.socket, { recursive: true });
          writeFileSync(join(daemon.socket, 'in the way'), '');
          chmodSync(daemon.runDir, 0o700);
        },
        words: (daemon) => ['-token-file', file(daemon)],
        reasons: (daemon) => [`claustrum: listen unix: listen unix ${daemon.socket}: bind: address already in use`],
      },
    };

    test.each(Object.entries(failures))('%s', async (_, { words, reasons, prepare }) => {
      await using daemon = await prepareDaemon({ profile, timings: { launcherWaitMs: never } });
      prepare?.(daemon);
      const result = await serve(daemon, ['-wire-profile', profile, ...words(daemon)]);
      expect(result.stderr.split('\n')).toEqual([...reasons(daemon), timeout(daemon), '']);
      expect([result.code, result.stdout]).toEqual([1, '']);
      const log = readFileSync(inRunDir(daemon, 'remote-server.log'), 'utf8');
      for (const line of reasons(daemon)) {
        expect(log.split('\n')).toContain(line);
      }
      await waitUntil(() => daemon.daemons().length === 0, 'the daemon to be gone');
      expect(existsSync(tokenFile(daemon))).toBe(false);
    });
  },
);

describe('a launcher that fails itself has one reason line, exit code 1:', () => {
  test('an empty token on its descriptor', async () => {
    await using daemon = await prepareDaemon();
    expect(await serve(daemon, ['-token-fd', '0'], '\n')).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: 'claustrum: read --token-fd: token is empty\n',
    });
    expect(existsSync(daemon.runDir)).toBe(false);
  });

  test('a file where the folder should be', async () => {
    await using daemon = await prepareDaemon();
    writeFileSync(daemon.runDir, '');
    expect(await serve(daemon, ['-token-file', '/none'])).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `claustrum: listen unix: listen unix ${daemon.socket}: bind: not a directory\n`,
    });
  });
});

describe('a daemon that does not come up', () => {
  test('because it died is told with how it died and the last lines of its log', async () => {
    await using daemon = await prepareDaemon({
      failpoints: 'daemon.listen.after=kill',
      timings: { launcherWaitMs: never },
    });
    const { code, stdout, stderr } = await daemon.launch();
    const lines = stderr.split('\n');
    expect(lines[0]).toBe('claustrum: daemon exited during start: signal: killed');
    expect(lines[1]).toMatch(/ INFO {2}\[daemon\] child processes will start with an open-files limit of \d+$/);
    expect(lines.slice(-2)).toEqual([timeout(daemon), '']);
    expect([code, stdout]).toEqual([1, '']);
  });

  test('because of a fault of ours is told with it, and leaves nothing that leads nowhere', async () => {
    await using daemon = await prepareDaemon({
      failpoints: 'daemon.listen.after=error(ENOSPC)',
      timings: { launcherWaitMs: never },
    });
    const { code, stderr } = await daemon.launch();
    expect([code, stderr.split('\n').at(-2)]).toEqual([1, timeout(daemon)]);
    expect(stderr.split('\n')[0]).toBe('claustrum: failpoint daemon.listen.after: ENOSPC');
    await waitUntil(() => daemon.daemons().length === 0, 'the daemon to be gone');
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([false, false]);
  });

  test('within the bound is left alone, and may still come up', async () => {
    await using daemon = await prepareDaemon({ timings: { launcherWaitMs: 300 } });
    const pause = pauseAfterListen(daemon);
    const { code, stdout, stderr } = await daemon.launch();
    expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: '', stderr: `${timeout(daemon)}\n` });
    const target = daemon.process();
    await waitUntil(() => existsSync(pause), 'the daemon to reach the place');
    rmSync(pause);
    await using client = await connectTo(daemon);
    expect(await client.request('server.ping')).toEqual({ pong: true });
    expect(isRunning(target)).toBe(true);
  });
});

describe('a daemon that cannot take over from a predecessor within the bound', () => {
  /** A predecessor accepts on the path, and a stubborn holder of the lock delays the new one. */
  async function kept(profile: DaemonOptions['profile']): Promise<{ daemon: TestDaemon; result: RunResult }> {
    const daemon = await startDaemon({ timings: {} });
    await using client = await connectTo(daemon);
    await start(client, 'p', 'sleep', ['3600']);
    const script = ownScript(daemon, scriptForTests);
    await holdLock(daemon, `{"pid":$PID,"role":"serve","node":"${node}"}`, {
      words: [script, '-serve', '-socket', daemon.socket],
      env: { HOLD_STUBBORN: '1' },
    });
    // Less than the two seconds that the holder is given to end by itself.
    daemon.env.HOLDFAST_TEST_TIMINGS = JSON.stringify({ launcherWaitMs: 1500 });
    return { daemon, result: await daemon.launch(['-wire-profile', profile as string]) };
  }

  test('is told as such in profile next', async () => {
    const { daemon, result } = await kept('next');
    await using _ = daemon;
    expect([result.code, result.stderr]).toEqual([
      1,
      `claustrum: daemon did not take over ${daemon.socket} (predecessor still owns it)\n`,
    ]);
  });

  test('is told as a timeout in profile current', async () => {
    const { daemon, result } = await kept('current');
    await using _ = daemon;
    expect([result.code, result.stderr]).toEqual([1, `${timeout(daemon)}\n`]);
  });
});

describe('the log', () => {
  const log = (daemon: TestDaemon): string => inRunDir(daemon, 'remote-server.log');

  test.each([
    ['S', false],
    ['current', false],
    ['next', true],
  ] as const)('of an earlier start is %s: kept beside the new one: %s', async (profile, isKept) => {
    await using daemon = await startDaemon({ profile });
    await daemon.stop();
    const before = readFileSync(log(daemon), 'utf8');
    await daemon.start();
    expect(readFileSync(log(daemon), 'utf8')).not.toContain('cleanup: closed');
    expect(existsSync(`${log(daemon)}.old`)).toBe(isKept);
    if (isKept) {
      expect(readFileSync(`${log(daemon)}.old`, 'utf8')).toBe(before);
    }
  });

  test.each(profiles)('of profile %s never follows a link that lies in its place', async (profile) => {
    await using daemon = await prepareDaemon({ profile });
    mkdirSync(daemon.runDir, { mode: 0o700 });
    const target = join(daemon.dir, 'precious');
    writeFileSync(target, 'precious');
    symlinkSync(target, log(daemon));
    await daemon.start();
    expect(readFileSync(target, 'utf8')).toBe('precious');
    expect(lstatSync(log(daemon)).isFile()).toBe(true);
    expect(readFileSync(log(daemon), 'utf8')).toContain('listening on');
  });

  test.each(profiles)(
    'of profile %s is declined where a folder lies in its place: the banner goes to the launcher’s stdout, lines to its stderr',
    async (profile) => {
      await using daemon = await prepareDaemon({ profile });
      mkdirSync(join(log(daemon), 'full'), { recursive: true });
      chmodSync(daemon.runDir, 0o700);
      if (profile === 'next') {
        // A rename moves the folder itself out of the way, unless that way is blocked too.
        mkdirSync(join(`${log(daemon)}.old`, 'full'), { recursive: true });
      }
      const { code, stdout, stderr } = await daemon.launch();
      expect(code).toBe(0);
      expect(stdout).toMatch(/^Claustrum remote server listening on \S+( \(pid \d+, instance [0-9a-f]{32}\))?\n$/);
      expect(stdout).toContain(` on ${daemon.socket}`);
      expect(stderr).toContain('[daemon] child processes will start with an open-files limit');
      expect(stderr).not.toContain('listening on');
      expect(existsSync(join(log(daemon), 'full'))).toBe(true);
    },
  );
});

/** Of the launcher and its daemon, which look alike, the daemon. */
function detached(daemon: TestDaemon): ProcessFacts {
  const both = daemon.daemons();
  return both.find(({ parent }) => both.some(({ pid }) => pid === parent)) as ProcessFacts;
}

describe('a signal during the start', () => {
  test.each([
    ['SIGTERM', 'terminated'],
    ['SIGINT', 'interrupt'],
  ] as const)('%s is remembered: the start completes, then the daemon ends and clears up', async (signal, word) => {
    await using daemon = await prepareDaemon({ timings: { launcherWaitMs: 3000 } });
    const pause = pauseAfterListen(daemon);
    const launched = daemon.launch();
    await waitUntil(() => existsSync(pause), 'the daemon to reach the place');
    const target = detached(daemon);
    signalProcess(target, signal);
    signalProcess(target, signal);
    rmSync(pause);
    await untilEnded(target);
    const texts = daemon.log().split('\n');
    const order = [
      texts.findIndex((line) => line.startsWith('Claustrum remote server listening on ')),
      texts.findIndex((line) => line.endsWith('[Server] shutdown requested')),
      texts.findIndex((line) => line.includes('[Server] cleanup: closed ')),
    ];
    expect(order.every((at) => at >= 0)).toBe(true);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    const received = `[daemon] received ${word}; shutting down (children will be killed)`;
    expect(texts.filter((line) => line.endsWith(received))).toHaveLength(1);
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([false, false]);
    await launched;
  });

  test('is told once, however often it comes', async () => {
    await using daemon = await prepareDaemon({ profile: 'current', timings: { launcherWaitMs: 4000 } });
    const words = [ownScript(daemon, scriptForTests), '-serve', '-socket', daemon.socket];
    // A stubborn holder of the lock makes the start take its time.
    const held = await holdLock(daemon, `{"pid":$PID,"role":"serve","node":"${node}"}`, {
      words,
      env: { HOLD_STUBBORN: '1' },
    });
    const launched = daemon.launch();
    await daemon.untilLogged(/sending SIGTERM/);
    const target = daemon.daemons().find(({ pid, parent }) => pid !== held.process.pid && parent !== process.pid);
    const received = /\[daemon\] received terminated/g;
    signalProcess(target as ProcessFacts, 'SIGTERM');
    await daemon.untilLogged(/received terminated/);
    signalProcess(target as ProcessFacts, 'SIGTERM');
    signalProcess(target as ProcessFacts, 'SIGINT');
    await untilEnded(target as ProcessFacts);
    expect(daemon.log().match(received)).toHaveLength(1);
    expect(daemon.log()).not.toContain('received interrupt');
    await launched;
  });
});
