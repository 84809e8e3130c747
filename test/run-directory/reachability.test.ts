/** What a daemon does when its socket path no longer leads to it (design decision 15; spec modes.md §8 "Orphan-exit"). */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, connect as dial } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

/** The daemon has seen what happened to its path and is still there. */
async function staysThrough(daemon: TestDaemon, target: ProcessFacts, sign: () => boolean): Promise<void> {
  await waitUntil(sign, 'the daemon to have looked');
  expect(isRunning(target), daemon.log()).toBe(true);
}

describe('a daemon that nobody can reach and that has nothing to lose ends by itself when', () => {
  const losses: Record<string, (daemon: TestDaemon) => void> = {
    'its socket is removed': ({ socket }) => unlinkSync(socket),
    'its socket is renamed': ({ socket }) => renameSync(socket, `${socket}.old`),
    'a file takes the place of its socket': ({ socket }) => {
      writeFileSync(`${socket}.new`, '');
      renameSync(`${socket}.new`, socket);
    },
    'its folder is renamed': ({ runDir }) => renameSync(runDir, `${runDir}.old`),
    'its folder is removed': ({ runDir }) => rmSync(runDir, { recursive: true }),
    'a folder above its own is renamed': ({ dir }) => renameSync(join(dir, 'above'), join(dir, 'elsewhere')),
  };

  test.each(Object.entries(losses))('%s', async (_, lose) => {
    for (const profile of ['S', 'current', 'next'] as const) {
      await using daemon = await prepareDaemon({ profile, socketName: '../above/run/rpc.sock' });
      mkdirSync(join(daemon.dir, 'above'));
      await daemon.start();
      const target = daemon.process();
      const shown = { dir: daemon.dir, runDir: join(daemon.dir, 'above', 'run'), socket: daemon.socket };
      lose(shown as TestDaemon);
      await untilEnded(target);
    }
  });
});

/** How many directories and files a process is told about by the kernel (inotify). */
function watchCount({ pid }: ProcessFacts): number {
  const texts = readdirSync(`/proc/${pid}/fdinfo`).map((fd) => {
    try {
      return readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1');
    } catch {
      // The descriptor was closed since the list was made.
      return '';
    }
  });
  return texts.join('').match(/^inotify /gm)?.length ?? 0;
}

test('a daemon is not woken by its own log while somebody uses it: it watches its folder before and after', async () => {
  await using daemon = await startDaemon();
  const target = daemon.process();
  await waitUntil(() => watchCount(target) === 1, 'the watch to begin');
  const client = await connectTo(daemon);
  await waitUntil(() => watchCount(target) === 0, 'the watch to end');
  await client.close();
  await waitUntil(() => watchCount(target) === 1, 'the watch to begin anew');
  unlinkSync(daemon.socket);
  await untilEnded(target);
});

describe('a daemon that lost its path', () => {
  test('serves a client until it leaves, and ends then', async () => {
    await using daemon = await startDaemon();
    await using client = await connectTo(daemon);
    const target = daemon.process();
    unlinkSync(daemon.socket);
    for (let count = 0; count < 50; count++) {
      await client.request('server.ping');
    }
    expect(isRunning(target)).toBe(true);
    await client.close();
    await untilEnded(target);
    expect(daemon.log()).toContain('[Server] cleanup: closed 0 connection(s), killed 0 child process group(s)');
  });

  test('keeps a session that runs, and ends with it', async () => {
    await using daemon = await startDaemon();
    const target = daemon.process();
    await using client = await connectTo(daemon);
    const { pid } = await start(client, 'p', 'sleep', ['3600']);
    unlinkSync(daemon.socket);
    await client.close();
    await waitUntil(() => daemon.log().match(/Connection closed/g)?.length === 2, 'the daemon to see the client leave');
    expect([isRunning(target), processFacts(pid) !== undefined]).toEqual([true, true]);
    process.kill(pid, 'SIGKILL');
    await untilEnded(target);
  });

  test('to a second start of profile S serves its client on, and takes nothing of the second with it when it ends', async () => {
    await using daemon = await startDaemon();
    const first = daemon.process();
    await using old = await connectTo(daemon);
    const cat = await start(old, 'cat', 'cat');
    await daemon.start();
    await cat.write('still here\n');
    await cat.until('still here');
    await using client = await connectTo(daemon);
    await expect(client.session('cat')).rejects.toMatchObject({ kind: 'closed' });
    await cat.kill('KILL');
    await cat.ended();
    await old.close();
    await untilEnded(first);
    await using again = await connectTo(daemon);
    await again.request('server.ping');
    expect(readFileSync(join(daemon.runDir, 'daemon.token'), 'utf8')).toBe(daemon.token);
    expect(daemon.daemons()).toHaveLength(1);
  });
});

const quick = { selfProbeMs: 50, orphanGraceMs: 1000 };

describe.each(['current', 'next'] as const)('profile %s: a daemon with a session that nobody can reach', (profile) => {
  test('waits out its grace, asks twice who answers on the path, and ends with its children', async () => {
    await using daemon = await startDaemon({ profile, timings: quick });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    const { pid } = await start(client, 'p', 'sleep', ['3600']);
    const child = processFacts(pid) as ProcessFacts;
    await client.close();
    unlinkSync(daemon.socket);
    await untilEnded(target);
    await untilEnded(child);
    const lines = daemon
      .log()
      .split('\n')
      .filter((line) => / WARN {2}\[Server\] /.test(line))
      .map((line) => line.slice(20));
    expect(lines).toEqual([
      `WARN  [Server] socket path ${daemon.socket} no longer leads to this daemon; shutting down if that holds for 1s with nobody connected`,
      `WARN  [Server] socket path ${daemon.socket} did not lead back to this daemon (1/2); re-checking before acting`,
      expect.stringMatching(
        /^WARN {2}\[Server\] orphaned for \d+s \(socket path gone or re-bound, 2 self-probes failed, no connections\); shutting down and killing 1 child process\(es\)$/,
      ),
    ]);
    expect(daemon.log()).toMatch(/\[Server\] shutdown requested\n/);
    expect(daemon.log()).toContain('[Server] cleanup: closed 0 connection(s), killed 1 child process group(s)');
  });
});

describe('the grace of a daemon that nobody can reach', () => {
  const lost = /no longer leads to this daemon/g;
  const times = (daemon: TestDaemon): number => daemon.log().match(lost)?.length ?? 0;

  test('begins anew after its path was there again', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { ...quick, orphanGraceMs: 600_000 } });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    await start(client, 'p', 'sleep', ['3600']);
    await client.close();
    const away = `${daemon.socket}.away`;
    renameSync(daemon.socket, away);
    await staysThrough(daemon, target, () => times(daemon) === 1);
    // Each round gives the daemon a chance to look while the path is right.
    await waitUntil(async () => {
      renameSync(away, daemon.socket);
      await using visitor = await connectTo(daemon);
      for (let count = 0; count < 100; count++) {
        await visitor.request('server.ping');
      }
      await visitor.close();
      renameSync(daemon.socket, away);
      await sleep(100);
      return times(daemon) > 1;
    }, 'the daemon to say again that its path is lost');
    expect(isRunning(target)).toBe(true);
  });

  test('does not begin while somebody is connected', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { selfProbeMs: 5, orphanGraceMs: 1 } });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    await start(client, 'p', 'sleep', ['3600']);
    unlinkSync(daemon.socket);
    for (let count = 0; count < 300; count++) {
      await client.request('server.ping');
    }
    expect([times(daemon), isRunning(target)]).toEqual([0, true]);
    await client.close();
    await untilEnded(target);
    expect(times(daemon)).toBe(1);
  });

  test('ends when whoever answers on the path leads to this very daemon', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { selfProbeMs: 20, orphanGraceMs: 40 } });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    await start(client, 'p', 'sleep', ['3600']);
    renameSync(daemon.socket, `${daemon.socket}.real`);
    let probes = 0;
    const relay = createServer((near) => {
      probes++;
      const far = dial(`${daemon.socket}.real`);
      near.pipe(far).pipe(near);
      for (const end of [near, far]) {
        end.on('error', () => near.destroy());
      }
    }).listen(daemon.socket);
    await client.close();
    await staysThrough(daemon, target, () => probes >= 5);
    relay.close();
    unlinkSync(`${daemon.socket}.real`);
    await untilEnded(target);
  });

  test('is not granted to somebody else’s daemon on the path', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { selfProbeMs: 20, orphanGraceMs: 40 } });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    await start(client, 'p', 'sleep', ['3600']);
    unlinkSync(daemon.socket);
    const stranger = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.write('{"jsonrpc":"2.0","id":1,"result":{"instanceId":"0"}}\n'));
    }).listen(daemon.socket);
    await client.close();
    await untilEnded(target);
    expect(existsSync(daemon.socket)).toBe(true);
    stranger.close();
  });

  test('is not known to profile S: a daemon with a session lives on for it', async () => {
    await using daemon = await startDaemon({ profile: 'S', timings: { selfProbeMs: 5, orphanGraceMs: 1 } });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    const { pid } = await start(client, 'p', 'sleep', ['3600']);
    unlinkSync(daemon.socket);
    await client.close();
    // The session outlives many of the looks that profile S does not take.
    await sleep(300);
    expect([isRunning(target), processFacts(pid)?.state !== undefined, times(daemon)]).toEqual([true, true, 0]);
  });
});
