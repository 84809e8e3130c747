/** `-stop`: always exit code 0; what it says and removes differs by generation (spec modes.md §10). */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import type { RunResult } from '../support/holdfast.ts';
import { connectTo, start } from '../support/host.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { holdLock, node, ownScript } from './lock-holder.ts';

type Profile = 'S' | 'current' | 'next';
const profiles = ['S', 'current', 'next'] as const;

function stop(daemon: TestDaemon, profile: Profile): Promise<RunResult> {
  return daemon.run(['-stop', '-socket', daemon.socket, '-wire-profile', profile]);
}

const word = (profile: Profile, text: string): string => (profile === 'next' ? `${text}\n` : '');
const lockFile = (daemon: TestDaemon): string => join(daemon.runDir, 'daemon.lock');
const tokenFile = (daemon: TestDaemon): string => join(daemon.runDir, 'daemon.token');

/** What it logged, without the times. */
function lines({ stderr }: RunResult): string[] {
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^[\d/]{10} [\d:]{8} /, ''));
}

/** A run directory as a dead daemon leaves it, with something at the socket path. */
function leftovers(daemon: TestDaemon, atSocket: 'nothing' | 'file' | 'empty folder' | 'full folder'): void {
  mkdirSync(daemon.runDir, { mode: 0o700 });
  writeFileSync(tokenFile(daemon), 'token');
  if (atSocket === 'file') {
    writeFileSync(daemon.socket, '');
  }
  if (atSocket === 'empty folder') {
    mkdirSync(daemon.socket);
  }
  if (atSocket === 'full folder') {
    mkdirSync(join(daemon.socket, 'full'), { recursive: true });
  }
}

/** Something that accepts on the socket path. */
async function stranger(daemon: TestDaemon, serve: (socket: Socket) => void): Promise<AsyncDisposable> {
  mkdirSync(daemon.runDir, { mode: 0o700 });
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(daemon.socket, resolve));
  return { [Symbol.asyncDispose]: async () => void server.close() };
}

describe.each(profiles)('profile %s:', (profile) => {
  test('a daemon is ended with its children, without a token', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const { pid } = await start(client, 'p', 'sleep', ['3600']);
    const [target, child] = [daemon.process(), processFacts(pid) as ProcessFacts];
    expect(await stop(daemon, profile)).toEqual({
      code: 0,
      signal: null,
      stdout: word(profile, 'stopped'),
      stderr: '',
    });
    await untilEnded(target);
    await untilEnded(child);
    expect(daemon.log()).toMatch(
      /INFO {2}\[ServerHandler\] server\.shutdown received over RPC\n.*INFO {2}\[Server\] shutdown requested\n/,
    );
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([false, false]);
  });

  test('where nothing ever ran there is nothing to do, and no folder is made', async () => {
    await using daemon = await prepareDaemon({ profile });
    expect(await stop(daemon, profile)).toEqual({ code: 0, signal: null, stdout: word(profile, 'none'), stderr: '' });
    expect(existsSync(daemon.runDir)).toBe(false);
  });

  test('what a dead daemon has left is removed as far as the generation does that', async () => {
    for (const atSocket of ['nothing', 'file', 'empty folder', 'full folder'] as const) {
      await using daemon = await prepareDaemon({ profile });
      leftovers(daemon, atSocket);
      expect(await stop(daemon, profile)).toEqual({ code: 0, signal: null, stdout: word(profile, 'none'), stderr: '' });
      const socketStays = atSocket === 'full folder' || (profile === 'S' && atSocket !== 'nothing');
      expect([atSocket, existsSync(daemon.socket)]).toEqual([atSocket, socketStays]);
      expect(existsSync(tokenFile(daemon))).toBe(profile !== 'next');
      expect(existsSync(lockFile(daemon))).toBe(false);
    }
  });

  test('a stale socket is removed as far as the generation does that', async () => {
    await using daemon = await startDaemon({ profile });
    await daemon.kill();
    const lock = profile === 'S' ? undefined : readFileSync(lockFile(daemon), 'utf8');
    expect(await stop(daemon, profile)).toEqual({ code: 0, signal: null, stdout: word(profile, 'none'), stderr: '' });
    expect(existsSync(daemon.socket)).toBe(profile === 'S');
    expect(existsSync(tokenFile(daemon))).toBe(profile !== 'next');
    // Never written, not even by the one who took it for a moment.
    if (lock !== undefined) {
      expect(readFileSync(lockFile(daemon), 'utf8')).toBe(lock);
    }
  });

  test('whoever answers on the path is sent exactly one line, and is content with any answer', async () => {
    const answers: Record<string, (socket: Socket) => void> = {
      garbage: (socket) => socket.write('garbage'),
      'the end': (socket) => socket.end(),
      nothing: () => {},
    };
    for (const [name, answer] of Object.entries(answers)) {
      await using daemon = await prepareDaemon({ profile });
      let received = '';
      await using _ = await stranger(daemon, (socket) => {
        socket.on('data', (chunk) => {
          received += String(chunk);
          answer(socket);
        });
      });
      const result = await stop(daemon, profile);
      expect([name, result]).toEqual([name, { code: 0, signal: null, stdout: word(profile, 'stopped'), stderr: '' }]);
      expect(received).toBe('{"jsonrpc":"2.0","id":1,"method":"server.shutdown"}\n');
      // Only the middle generation removes the path whatever happened.
      expect(existsSync(daemon.socket)).toBe(profile !== 'current');
    }
  });
});

test('a reset in place of an answer counts as one', async () => {
  await using daemon = await prepareDaemon({ profile: 'next' });
  // Closing with the request unread is what resets a connection of this kind.
  await using _ = await stranger(daemon, (socket) => {
    socket.pause();
    setTimeout(() => socket.destroy(), 50);
  });
  expect(await stop(daemon, 'next')).toEqual({ code: 0, signal: null, stdout: 'stopped\n', stderr: '' });
});

describe('profile next: a daemon that cannot be reached', () => {
  /** A daemon with a session, so that it stays, whose socket is gone. */
  async function unreachable(): Promise<{
    daemon: TestDaemon;
    target: ProcessFacts;
    child: ProcessFacts;
    who: string;
  }> {
    const daemon = await startDaemon({ profile: 'next' });
    await using client = await connectTo(daemon);
    const { pid } = await start(client, 'p', 'sleep', ['3600']);
    const { instanceId } = await client.request('server.capabilities');
    unlinkSync(daemon.socket);
    const target = daemon.process();
    return {
      daemon,
      target,
      child: processFacts(pid) as ProcessFacts,
      who: `pid ${target.pid} (instance "${instanceId}")`,
    };
  }

  test('is ended politely when its lock names it', async () => {
    const { daemon, target, child, who } = await unreachable();
    await using _ = daemon;
    writeFileSync(daemon.socket, 'in its place');
    const result = await stop(daemon, 'next');
    expect([result.code, result.stdout]).toEqual([0, 'terminated\n']);
    expect(lines(result)).toEqual([
      `INFO  [daemon] stop: run dir is held by a live daemon, ${who}; sending SIGTERM`,
      `INFO  [daemon] stop: previous daemon ${who} exited after SIGTERM`,
    ]);
    await untilEnded(target);
    await untilEnded(child);
    expect(readdirSync(daemon.runDir).filter((name) => name.startsWith('rpc') || name.includes('token'))).toEqual([]);
  });

  test('is killed when it does not end by itself', async () => {
    const { daemon, target, who } = await unreachable();
    await using _ = daemon;
    daemon.signal('SIGSTOP');
    const result = await stop(daemon, 'next');
    expect([result.code, result.stdout]).toEqual([0, 'killed\n']);
    const [asked, warned, killed] = lines(result);
    expect(asked).toBe(`INFO  [daemon] stop: run dir is held by a live daemon, ${who}; sending SIGTERM`);
    expect(warned).toContain(
      `WARN  [daemon] stop: WARNING previous daemon ${who} ignored SIGTERM for 4s; sending SIGKILL`,
    );
    expect(killed).toBe(`INFO  [daemon] stop: previous owner of ${daemon.runDir}: killed`);
    await untilEnded(target);
    expect(existsSync(tokenFile(daemon))).toBe(false);
  });

  test('is left alone when its lock names somebody else, and nothing is removed', async () => {
    await using daemon = await prepareDaemon({ profile: 'next' });
    leftovers(daemon, 'file');
    const held = await holdLock(daemon, `{"pid":$PID,"role":"serve","node":"${node}"}`);
    const result = await stop(daemon, 'next');
    expect([result.code, result.stdout]).toEqual([0, 'survivor\n']);
    expect(lines(result)[0]).toBe(
      `WARN  [daemon] stop: WARNING ${lockFile(daemon)} is held by a live process we will not signal (pid ${held.process.pid} is not a holdfast --serve process for ${daemon.socket}); leaving it alone`,
    );
    expect([isRunning(held.process), held.signals()]).toEqual([true, []]);
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([true, true]);
  });

  test('that turned into something else before it was killed is left alone', async () => {
    await using daemon = await prepareDaemon({ profile: 'next' });
    leftovers(daemon, 'file');
    // Ends when asked; a child of it holds the lock on.
    const words = [ownScript(daemon), '-serve', '-socket', daemon.socket];
    const held = await holdLock(daemon, `{"pid":$PID,"role":"serve","node":"${node}"}`, {
      words,
      env: { HOLD_WITH_CHILD: '1' },
    });
    const result = await stop(daemon, 'next');
    expect([result.code, result.stdout]).toEqual([0, 'survivor\n']);
    expect(lines(result)[1]).toBe(
      `INFO  [daemon] stop: pid ${held.process.pid} is no longer our serve holder before SIGKILL (pid ${held.process.pid} is not a holdfast --serve process for ${daemon.socket}); leaving it alone`,
    );
    expect(existsSync(daemon.socket)).toBe(true);
  });

  test('counts as none when its lock cannot be read', async () => {
    await using daemon = await prepareDaemon({ profile: 'next' });
    leftovers(daemon, 'file');
    mkdirSync(lockFile(daemon));
    expect(await stop(daemon, 'next')).toMatchObject({ code: 0, stdout: 'none\n' });
    expect([existsSync(daemon.socket), existsSync(tokenFile(daemon))]).toEqual([false, false]);
  });
});

test('a run directory that others may write to is not a reason to fail', async () => {
  await using daemon = await prepareDaemon({ profile: 'next' });
  leftovers(daemon, 'file');
  chmodSync(daemon.runDir, 0o777);
  expect(await stop(daemon, 'next')).toMatchObject({ code: 0, stdout: 'none\n' });
});

test('without -socket the daemon of the default path is ended', async () => {
  await using daemon = await prepareDaemon();
  const token = join(daemon.dir, 'own-token');
  writeFileSync(token, 'token');
  const socket = join(daemon.home, '.claude', 'remote', 'rpc.sock');
  expect((await daemon.run(['-serve', '-token-file', token])).code).toBe(0);
  expect(existsSync(socket)).toBe(true);
  // The login shell that is asked for its PATH may still run.
  const started = await waitUntil(() => {
    const [first, second] = daemon.processes();
    return second === undefined && first;
  }, 'the daemon alone to run');
  expect((await daemon.run(['-stop'])).code).toBe(0);
  await untilEnded(started);
  expect(existsSync(socket)).toBe(false);
});
