/** One daemon at a time in a run directory, and no signal on the word of a file (spec modes.md §7, design decision 8). */
import { spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import type { Log } from '../../src/base/log.ts';
import { takeLock } from '../../src/run-directory/run-lock.ts';
import {
  type HolderOptions,
  holderScript,
  holdLock,
  type LockHolder,
  node,
  ownScript,
  untilSays,
} from '../modes/lock-holder.ts';
import { becoming, otherUsers } from '../support/as-user.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { linux, root, testNeeding } from '../support/needs.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess, untilEnded } from '../support/processes.ts';

const notHolder = "serve: not the run dir's lock holder; leaving any predecessor's children alone and recording none";

const lockOf = (daemon: TestDaemon): string => join(daemon.runDir, 'daemon.lock');

/** Lines of the log from the first on that has to do with the lock. */
function lockLines(daemon: TestDaemon): string[] {
  return daemon
    .log()
    .split('\n')
    .filter((line) => / \[daemon\] serve: /.test(line))
    .map((line) => line.replace(/^\S+ \S+ /, ''));
}

/** A record as an object; `$PID` and `$THREAD` become numbers. */
function hold(daemon: TestDaemon, record: object | string, options: HolderOptions = {}): Promise<LockHolder> {
  const text = typeof record === 'string' ? record : JSON.stringify(record).replace(/"\$(PID|THREAD)"/g, '$$$1');
  return holdLock(daemon, text, options);
}

describe.each(['current', 'next'] as const)('profile %s: a second start', (profile) => {
  test('ends the first daemon, says so with its pid and instance, and serves', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const { instanceId } = await client.request('server.capabilities');
    const first = daemon.process();
    await daemon.start();
    await untilEnded(first);
    const who = `pid ${first.pid} (instance "${instanceId}")`;
    expect(lockLines(daemon)).toEqual([
      `INFO  [daemon] serve: run dir is held by a live daemon, ${who}; sending SIGTERM`,
      `INFO  [daemon] serve: previous daemon ${who} exited after SIGTERM`,
    ]);
    await using next = await connectTo(daemon);
    expect((await next.request('server.capabilities')).instanceId).not.toBe(instanceId);
    expect(JSON.parse(readFileSync(lockOf(daemon), 'utf8')).pid).toBe(daemon.pid());
  });
});

test('a first daemon that does not end when asked is killed, and that is said', async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  const first = daemon.process();
  daemon.signal('SIGSTOP');
  await daemon.start();
  await untilEnded(first);
  const who = `pid ${first.pid} \\(instance "[0-9a-f]{32}"\\)`;
  const lines = lockLines(daemon);
  expect(lines).toHaveLength(3);
  expect(lines[0]).toMatch(
    new RegExp(`^INFO  \\[daemon\\] serve: run dir is held by a live daemon, ${who}; sending SIGTERM$`),
  );
  expect(lines[1]).toMatch(
    new RegExp(
      `^WARN  \\[daemon\\] serve: WARNING previous daemon ${who} ignored SIGTERM for 2s; sending SIGKILL \\(its Claude Code children, if any, are ended next, before this daemon serves\\)$`,
    ),
  );
  expect(lines[2]).toBe(`INFO  [daemon] serve: previous owner of ${daemon.runDir}: killed`);
});

test('a holder whose record has no instance is ended and named without one', async () => {
  await using daemon = await prepareDaemon({ profile: 'current' });
  const script = ownScript(daemon);
  const held = await hold(
    daemon,
    { pid: '$PID', role: 'serve', node },
    { words: [script, '-serve', '-socket', daemon.socket] },
  );
  await daemon.start();
  await untilEnded(held.process);
  expect(held.signals()).toEqual(['SIGTERM']);
  expect(lockLines(daemon)).toEqual([
    `INFO  [daemon] serve: run dir is held by a live daemon, pid ${held.process.pid}; sending SIGTERM`,
    `INFO  [daemon] serve: previous daemon pid ${held.process.pid} exited after SIGTERM`,
  ]);
});

test.each([
  ['without -socket too', []],
  ['with that very path', ['/.claude/remote/rpc.sock']],
  ['with that path spelled otherwise', ['/.claude//x/../remote/./rpc.sock']],
])('a daemon started without -socket is known to hold the default socket by a start %s', async (_, below) => {
  await using daemon = await prepareDaemon({ profile: 'current' });
  const folder = join(daemon.home, '.claude', 'remote');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const record = { pid: '$PID', role: 'serve', node };
  const held = await hold(daemon, record, { words: [ownScript(daemon), '-serve'], runDir: folder });
  const token = join(daemon.dir, 'own-token');
  writeFileSync(token, 'token');
  const socket = below.flatMap((path) => ['-socket', daemon.home + path]);
  const result = await daemon.run(['-serve', '-wire-profile', 'current', '-token-file', token, ...socket]);
  expect(result.code).toBe(0);
  await untilEnded(held.process);
  expect(held.signals()).toEqual(['SIGTERM']);
});

describe('a lock whose record is wrong: nobody is signalled, and the start serves without the lock:', () => {
  interface Case {
    readonly record: (bystander: ProcessFacts) => object | string;
    readonly words?: (daemon: TestDaemon) => string[];
    readonly reason: (daemon: TestDaemon, held: ProcessFacts, bystander: ProcessFacts) => string;
  }
  const notOurs = (pid: number, daemon: TestDaemon): string =>
    `pid ${pid} is not a holdfast --serve process for ${daemon.socket}`;
  const asDaemon = (daemon: TestDaemon): string[] => [ownScript(daemon), '-serve', '-socket', daemon.socket];

  const cases: Record<string, Case> = {
    'a pid that now belongs to somebody else': {
      record: ({ pid }) => ({ pid, role: 'serve', node, instanceId: 'ab'.repeat(16), startedAt: 1 }),
      reason: (daemon, _, { pid }) => notOurs(pid, daemon),
    },
    'a holder that is no daemon': {
      record: () => ({ pid: '$PID', role: 'agent "x"', node }),
      words: asDaemon,
      reason: () => 'its holder is not a daemon (role "agent "x"")',
    },
    'a record without a role': {
      record: () => ({ pid: '$PID', node }),
      words: asDaemon,
      reason: () => 'its holder is not a daemon (role "")',
    },
    'a record of another boot': {
      record: () => ({ pid: '$PID', role: 'serve', node: node.replace(/^[0-9a-f]{8}/, '00000000') }),
      words: asDaemon,
      reason: () => 'it belongs to another boot or another pid namespace',
    },
    'a record of another pid namespace': {
      record: () => ({ pid: '$PID', role: 'serve', node: node.replace(/\[\d+\]/, '[1]') }),
      words: asDaemon,
      reason: () => 'it belongs to another boot or another pid namespace',
    },
    'a record that does not say where it belongs': {
      record: () => ({ pid: '$PID', role: 'serve' }),
      words: asDaemon,
      reason: () => 'it belongs to another boot or another pid namespace',
    },
    'a thread of a daemon': {
      record: () => ({ pid: '$THREAD', role: 'serve', node }),
      words: asDaemon,
      reason: (daemon) =>
        `pid ${JSON.parse(readFileSync(lockOf(daemon), 'utf8')).pid} is not a holdfast --serve process for ${daemon.socket}`,
    },
    'a process that is gone': {
      record: () => ({ pid: 2 ** 22 + 1, role: 'serve', node }),
      reason: (daemon) => notOurs(2 ** 22 + 1, daemon),
    },
    'a daemon of another socket': {
      record: () => ({ pid: '$PID', role: 'serve', node }),
      words: (daemon) => [ownScript(daemon), '-serve', '-socket', `${daemon.socket}2`],
      reason: (daemon, { pid }) => notOurs(pid, daemon),
    },
    'a daemon of the default socket': {
      record: () => ({ pid: '$PID', role: 'serve', node }),
      words: (daemon) => [ownScript(daemon), '-serve'],
      reason: (daemon, { pid }) => notOurs(pid, daemon),
    },
    'another mode of ours': {
      record: () => ({ pid: '$PID', role: 'serve', node }),
      words: (daemon) => [ownScript(daemon), '-bridge', '-socket', daemon.socket],
      reason: (daemon, { pid }) => notOurs(pid, daemon),
    },
    'a program that only has the words of a daemon among its arguments': {
      record: () => ({ pid: '$PID', role: 'serve', node }),
      words: (daemon) => [holderScript, ownScript(daemon), '-serve', '-socket', daemon.socket],
      reason: (daemon, { pid }) => notOurs(pid, daemon),
    },
    'a program with a similar name': {
      record: () => ({ pid: '$PID', role: 'serve', node }),
      words: (daemon) => [ownScript(daemon, 'domain.ts'), '-serve', '-socket', daemon.socket],
      reason: (daemon, { pid }) => notOurs(pid, daemon),
    },
    'no record at all': { record: () => '', reason: () => 'its record cannot be read' },
    'a record that is no JSON': { record: () => '{"pid":', reason: () => 'its record cannot be read' },
    'a record with a process group for a pid': {
      record: () => ({ pid: -1, role: 'serve', node }),
      reason: () => 'its record cannot be read',
    },
    'a record with a text for a pid': {
      record: () => ({ pid: '1', role: 'serve', node }),
      reason: () => 'its record cannot be read',
    },
  };

  test.each(Object.entries(cases))('%s', async (_, { record, words, reason }) => {
    await using daemon = await prepareDaemon({ profile: 'current' });
    const sleep = spawn('sleep', ['3600'], { env: daemon.env, stdio: 'ignore' });
    const bystander = processFacts(sleep.pid as number) as ProcessFacts;
    const held = await hold(daemon, record(bystander), words === undefined ? {} : { words: words(daemon) });
    await daemon.start();
    expect(lockLines(daemon)).toEqual([
      `WARN  [daemon] serve: WARNING ${lockOf(daemon)} is held by a live process we will not signal (${reason(daemon, held.process, bystander)}); leaving it alone`,
      `INFO  [daemon] serve: previous owner of ${daemon.runDir}: survivor`,
      `WARN  [daemon] ${notHolder}`,
    ]);
    expect([isRunning(held.process), isRunning(bystander), held.signals()]).toEqual([true, true, []]);
    await using client = await connectTo(daemon);
    expect(await client.request('server.ping')).toEqual({ pong: true });
  });

  test('a child that nobody has collected', async () => {
    await using daemon = await prepareDaemon({ profile: 'current' });
    const script = 'sleep 0 & echo "zombie $!"; exec sleep 3600';
    const { said } = await untilSays('\n', 'sh', ['-c', script], daemon.env);
    const pid = Number(/\d+/.exec(said)?.[0]);
    const held = await hold(daemon, { pid, role: 'serve', node });
    await daemon.start();
    expect(lockLines(daemon)[0]).toContain(
      `(pid ${pid} is not a holdfast --serve process for ${daemon.socket}); leaving it alone`,
    );
    expect([isRunning(held.process), held.signals()]).toEqual([true, []]);
  });
});

test('a lock that outlives its holder in a child of it is not taken by force: the child lives on', async () => {
  await using daemon = await prepareDaemon({ profile: 'current' });
  const words = [ownScript(daemon), '-serve', '-socket', daemon.socket];
  const held = await hold(daemon, { pid: '$PID', role: 'serve', node }, { words, env: { HOLD_WITH_CHILD: '1' } });
  await daemon.start();
  await untilEnded(held.process);
  const { pid } = held.process;
  expect(lockLines(daemon)).toEqual([
    `INFO  [daemon] serve: run dir is held by a live daemon, pid ${pid}; sending SIGTERM`,
    `WARN  [daemon] serve: WARNING ${lockOf(daemon)} is held by a live process we will not signal (pid ${pid} is not a holdfast --serve process for ${daemon.socket}); leaving it alone`,
    `INFO  [daemon] serve: previous owner of ${daemon.runDir}: survivor`,
    `WARN  [daemon] ${notHolder}`,
  ]);
  expect(daemon.processes().length).toBeGreaterThan(1);
});

test('a holder that outlives SIGKILL, as one that the kernel holds does, is left with the lock, and that is said', async () => {
  await using daemon = await prepareDaemon({ profile: 'next' });
  const words = [ownScript(daemon, basename(process.argv[1] ?? '')), '-serve', '-socket', daemon.socket];
  const held = await hold(daemon, { pid: '$PID', role: 'serve', node }, { words });
  const platform = createPlatform();
  const lines: string[] = [];
  const tell = (_: string, text: string): void => void lines.push(text);
  const directory = platform.runDirectories.open(daemon.runDir);
  const taken = await takeLock({
    // Nothing reaches a process that waits in the kernel.
    platform: { ...platform, processes: { ...platform.processes, signalIfSame: () => 'sent' } },
    directory,
    socketPath: daemon.socket,
    log: { info: tell, warn: tell } as unknown as Log,
    asker: 'stop',
    termMs: 200,
    killMs: 100,
    create: false,
  });
  directory.close();
  expect(taken).toEqual({ outcome: 'survivor' });
  expect(lines.slice(2)).toEqual([
    `stop: WARNING previous daemon pid ${held.process.pid} survived SIGKILL (uninterruptible?); proceeding without run-dir ownership`,
    `stop: previous owner of ${daemon.runDir}: survivor`,
  ]);
  expect(isRunning(held.process)).toBe(true);
});

describe('the lock file', () => {
  test.each(['current', 'next'] as const)(
    'of profile %s names its daemon, keys in order, for the owner alone',
    async (profile) => {
      await using daemon = await startDaemon({ profile });
      await using client = await connectTo(daemon);
      const { instanceId, startedAt } = await client.request('server.capabilities');
      expect(readFileSync(lockOf(daemon), 'utf8')).toBe(
        JSON.stringify({ pid: daemon.pid(), role: 'serve', node, instanceId, startedAt }),
      );
      expect(statSync(lockOf(daemon)).mode & 0o777).toBe(0o600);
      await daemon.stop();
      expect(readFileSync(lockOf(daemon), 'utf8')).toBe('');
    },
  );

  test('left behind by a crash is taken without a word', async () => {
    await using daemon = await startDaemon({ profile: 'current' });
    await daemon.kill();
    expect(readFileSync(lockOf(daemon), 'utf8')).toContain('"role":"serve"');
    await daemon.start();
    expect(lockLines(daemon)).toEqual([]);
    expect(JSON.parse(readFileSync(lockOf(daemon), 'utf8')).pid).toBe(daemon.pid());
  });

  test('does not exist in profile S', async () => {
    await using daemon = await startDaemon({ profile: 'S' });
    expect(existsSync(lockOf(daemon))).toBe(false);
    expect(lockLines(daemon)).toEqual([]);
  });

  test.each([
    ['a folder', (path: string) => mkdirSync(path)],
    ['a link', (path: string) => symlinkSync('/etc/hostname', path)],
  ])('that is %s is told and left alone, and the start serves', async (_, make) => {
    await using daemon = await prepareDaemon({ profile: 'current' });
    mkdirSync(daemon.runDir, { mode: 0o700 });
    make(lockOf(daemon));
    const before = readFileSync('/etc/hostname', 'utf8');
    await daemon.start();
    expect(lockLines(daemon).at(-1)).toBe(`WARN  [daemon] ${notHolder}`);
    expect(lockLines(daemon)[0]).toContain('serve: WARNING ');
    await daemon.stop();
    expect(readFileSync('/etc/hostname', 'utf8')).toBe(before);
  });
});

test('a holder that asks for it is not even looked at by a second start of profile S', async () => {
  await using daemon = await prepareDaemon({ profile: 'S' });
  const words = [ownScript(daemon), '-serve', '-socket', daemon.socket];
  const held = await hold(daemon, { pid: '$PID', role: 'serve', node }, { words });
  await daemon.start();
  expect([isRunning(held.process), held.signals(), lockLines(daemon)]).toEqual([true, [], []]);
  signalProcess(held.process, 'SIGKILL');
});

describe('a lock file of another user', () => {
  const stranger = 61_018;
  const refusal = (daemon: TestDaemon, owner: number, own: number): string =>
    `WARN  [daemon] serve: WARNING ${lockOf(daemon)} belongs to user ${owner}, not to user ${own}, and is not used; remove it`;

  testNeeding(linux, root)('is not trusted: whom it names is left alone, and the start goes on', {}, async () => {
    await using daemon = await prepareDaemon({ profile: 'current' });
    const words = [ownScript(daemon), '-serve', '-socket', daemon.socket];
    const held = await hold(daemon, { pid: '$PID', role: 'serve', node }, { words });
    chownSync(lockOf(daemon), stranger, stranger);
    await daemon.start();
    expect(lockLines(daemon)).toEqual([refusal(daemon, stranger, 0), `WARN  [daemon] ${notHolder}`]);
    expect([isRunning(held.process), held.signals()]).toEqual([true, []]);
    // Nor is it changed.
    expect(statSync(lockOf(daemon)).uid).toBe(stranger);
    expect(readFileSync(lockOf(daemon), 'utf8')).toContain('"role":"serve"');
  });

  testNeeding(linux, otherUsers())('that we may write to is a warning, no failed start', {}, async () => {
    const prepare = `mkdir -m 700 run && chown -R ${stranger} . && : >run/daemon.lock && chmod 666 run/daemon.lock && exec "$@"`;
    await using daemon = await prepareDaemon({
      profile: 'current',
      through: ['sh', '-c', prepare, 'sh', ...becoming(stranger)],
    });
    await daemon.start();
    expect(lockLines(daemon)).toEqual([refusal(daemon, 0, stranger), `WARN  [daemon] ${notHolder}`]);
    await daemon.stop();
    expect(statSync(lockOf(daemon))).toMatchObject({ uid: 0, size: 0 });
  });
});
