/**
 * Fault 10 and the fault table's "kill -9 of the daemon followed by a start": whatever lies in the run directory, a start
 * serves, or says clearly why not, and nothing that is not its own is touched.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { connectTo, start } from '../support/host.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess } from '../support/processes.ts';
import { patienceMs } from '../support/wait.ts';

/** Everything a start creates, removes or opens in the run directory. */
const names = ['rpc.sock', 'daemon.token', 'daemon.lock', 'remote-server.log', 'rpc.pipe'] as const;
type Name = (typeof names)[number];

describe.each(['S', 'current', 'next'] as const)('profile %s', (profile) => {
  test('a daemon that was killed leaves its files, the next start serves, and its sessions are unknown', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const p = await start(client, 'p', ...fixture('ignore-term.sh'));
    await p.until('ready');
    const child = processFacts(p.pid) as ProcessFacts;
    const before = daemon.process();
    const disconnected = once(client, 'disconnected');
    await daemon.kill();
    await disconnected;
    await client.close();
    expect(existsSync(daemon.socket)).toBe(true);
    expect(existsSync(join(daemon.runDir, 'daemon.token'))).toBe(true);

    await daemon.start();
    expect(daemon.pid()).not.toBe(before.pid);
    await using again = await connectTo(daemon);
    expect(await again.request('process.reattach', { id: 'p', fromSeq: 0 })).toEqual({
      found: false,
      running: false,
      firstSeq: 0,
      lastSeq: 0,
      stdinApplied: 0,
    });
    expect(readFileSync(join(daemon.runDir, 'daemon.token'), 'utf8')).toBe(daemon.token);
    const q = await start(again, 'q', 'echo', ['served']);
    await q.until('served');
    // Its input has ended with the daemon, so this child ends by itself; nobody had to signal it.
    if (isRunning(child)) {
      signalProcess(child, 'SIGKILL');
    }
  });

  test('a daemon whose socket, token and log were deleted under it is replaced by the next start', async () => {
    await using daemon = await startDaemon({ profile });
    execFileSync('rm', ['-f', ...names.map((name) => join(daemon.runDir, name))]);
    await daemon.start();
    await using client = await connectTo(daemon);
    expect(await client.request('server.ping')).toEqual({ pong: true });
    // The first one has nobody and can be reached by nobody.
    await expect.poll(() => daemon.daemons().length, { timeout: patienceMs }).toBe(1);
  });
});

interface Obstacle {
  readonly kind: string;
  /** Puts it at `path`. `outside` is a folder that must not change. */
  put(path: string, outside: string): void;
}

const obstacles: readonly Obstacle[] = [
  { kind: 'an empty file', put: (path) => writeFileSync(path, '') },
  { kind: 'a file of garbage', put: (path) => writeFileSync(path, Buffer.from('\xff\0\xfe{"pid":', 'latin1')) },
  { kind: 'a symlink to a file outside', put: (path, outside) => symlinkSync(join(outside, 'file'), path) },
  { kind: 'a symlink to nothing', put: (path, outside) => symlinkSync(join(outside, 'none'), path) },
  { kind: 'a symlink to a folder outside', put: (path, outside) => symlinkSync(outside, path) },
  { kind: 'a fifo', put: (path) => void execFileSync('mkfifo', [path]) },
  { kind: 'a stale socket', put: leaveSocket },
  {
    kind: 'the record of a dead process',
    put: (path) => writeFileSync(path, JSON.stringify({ pid: 4_194_303, role: 'serve', node: ownNode() })),
  },
  {
    kind: 'a record of another boot',
    put: (path) =>
      writeFileSync(path, JSON.stringify({ pid: 1, role: 'serve', node: ownNode().replace(/^[^/]*/, 'another-boot') })),
  },
  {
    kind: 'a record of another pid namespace',
    put: (path) =>
      writeFileSync(path, JSON.stringify({ pid: 1, role: 'serve', node: ownNode().replace(/\[\d+\]$/, '[1]') })),
  },
  {
    kind: 'a folder with something in it',
    put(path) {
      mkdirSync(path);
      writeFileSync(join(path, 'precious'), 'content');
    },
  },
];

describe.each(['S', 'current'] as const)('profile %s, in place of every file of the run directory', (profile) => {
  for (const { kind, put } of obstacles) {
    test(`${kind}: the start serves, ends again, and touches nothing foreign`, async () => {
      await using daemon = await prepareDaemon({ profile });
      const outside = folderToLeaveAlone(daemon);
      const foreign = fingerprint(outside);
      // A folder in the socket's place is the one thing that no start can do anything about; see below.
      const taken = names.filter((name) => !(kind.startsWith('a folder') && name === 'rpc.sock'));
      for (const name of taken) {
        put(join(daemon.runDir, name), outside);
      }

      await daemon.start();
      await expectServing(daemon);
      expect(fingerprint(outside)).toEqual(foreign);
      await daemon.stop();

      expect(fingerprint(outside)).toEqual(foreign);
      if (kind.startsWith('a folder')) {
        for (const name of taken) {
          expect(readFileSync(join(daemon.runDir, name, 'precious'), 'utf8')).toBe('content');
        }
      }
      // No temporary file is left.
      expect(readdirSync(daemon.runDir).filter((entry) => !names.includes(entry as Name))).toEqual([]);
    });
  }

  test.each(['empty', 'full'])(
    'a folder that is %s in place of the socket: the start says so and leaves it',
    async (kind) => {
      await using daemon = await prepareDaemon({ profile });
      mkdirSync(daemon.socket, { recursive: true });
      if (kind === 'full') {
        writeFileSync(join(daemon.socket, 'precious'), 'content');
      }
      const { code, stderr } = await daemon.launch();
      expect(code).toBe(1);
      expect(stderr).toContain(
        `claustrum: listen unix: listen unix ${daemon.socket}: bind: address already in use\n` +
          `claustrum: timeout waiting for daemon to accept on ${daemon.socket}\n`,
      );
      await expect.poll(() => daemon.daemons(), { timeout: patienceMs }).toEqual([]);
      expect(readdirSync(daemon.socket)).toEqual(kind === 'full' ? ['precious'] : []);
      expect(existsSync(join(daemon.runDir, 'daemon.token'))).toBe(false);
    },
  );
});

function folderToLeaveAlone(daemon: TestDaemon): string {
  const outside = join(daemon.dir, 'outside');
  mkdirSync(join(outside, 'folder'), { recursive: true });
  writeFileSync(join(outside, 'file'), 'content', { mode: 0o644 });
  writeFileSync(join(outside, 'folder', 'file'), 'content');
  mkdirSync(daemon.runDir, { mode: 0o700 });
  return outside;
}

async function expectServing(daemon: TestDaemon): Promise<void> {
  await using client = await connectTo(daemon);
  expect(await client.request('server.ping')).toEqual({ pong: true });
  const p = await start(client, 'p', 'echo', ['served']);
  await p.until('served');
  await p.ended();
}

/** A socket that nobody listens on any more. */
function leaveSocket(path: string): void {
  const listen = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['--eval', listen]);
}

function ownNode(): string {
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${readlinkSync('/proc/self/ns/pid')}`;
}

/** Names, types, modes, owners and contents of everything below a folder, and its inodes. */
function fingerprint(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .concat('.')
    .sort()
    .map((name) => {
      const path = join(folder, name);
      const found = lstatSync(path);
      const { mode, uid, gid, ino, size } = found;
      const content = found.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
      return `${name} ${mode.toString(8)} ${uid}:${gid} ${ino} ${size} ${content}`;
    });
}
