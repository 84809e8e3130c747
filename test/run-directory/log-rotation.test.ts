/** The daemon's log has a limit, and a full disk costs lines, not service (fault 14 of docs/faults.md). */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { mounts, testNeeding } from '../support/needs.ts';
import { isRunning } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const limit = 4096;
const flags = ['-log-max-bytes', String(limit)];
const logOf = (daemon: TestDaemon): string => join(daemon.runDir, 'remote-server.log');

/** Makes the daemon write lines that carry a number. */
async function write(daemon: TestDaemon, from: number, count: number): Promise<void> {
  await using client = await connectRaw(daemon, { auth: null });
  for (let n = from; n < from + count; n++) {
    await client.request('server.ping', { n, pad: 'x' }).catch(() => {});
  }
}

/** Lines of unauthorized requests name the request's id, which counts up within a connection. */
const ids = (text: string): number[] =>
  [...text.matchAll(/method=server\.ping, id=(\d+)/g)].map(([, id]) => Number(id));

test('at its limit the log goes on in a new file, the older lines are kept in .old, and none is lost between', async () => {
  await using daemon = await startDaemon({ flags });
  await write(daemon, 0, 100);
  const [older, newer] = [`${logOf(daemon)}.old`, logOf(daemon)].map((file) => readFileSync(file, 'utf8')) as [
    string,
    string,
  ];
  for (const file of [logOf(daemon), `${logOf(daemon)}.old`]) {
    expect(statSync(file).size).toBeLessThanOrEqual(limit);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
  expect(newer).toMatch(
    /^[\d/]+ [\d:]+ INFO {2}\[daemon\] log had \d+ bytes, the limit is 4096 \(log-max-bytes\); older lines are in .*remote-server\.log\.old\n/,
  );
  const seen = ids(older + newer);
  expect(seen.length).toBeGreaterThan(30);
  expect(seen).toEqual(Array.from(seen, (_, at) => (seen[0] as number) + at));
  expect(seen.at(-1)).toBe(100);
});

test('what the runtime itself writes goes to the new file too, and nobody inherits it', async () => {
  await using daemon = await startDaemon({ flags });
  await write(daemon, 0, 100);
  const pid = daemon.pid();
  for (const fd of [1, 2]) {
    expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe(logOf(daemon));
  }
  await using client = await connectTo(daemon);
  const p = await start(client, 'p', 'ls', ['-l', '/proc/self/fd']);
  await p.ended();
  expect(p.stdout).not.toContain('remote-server');
});

test('a limit of 0 is no limit', async () => {
  await using daemon = await startDaemon({ flags: ['-log-max-bytes', '0'] });
  await write(daemon, 0, 100);
  expect(statSync(logOf(daemon)).size).toBeGreaterThan(limit);
  expect(existsSync(`${logOf(daemon)}.old`)).toBe(false);
});

test('a daemon whose log’s name was taken by a later start leaves that log alone and keeps its own within the limit', async () => {
  await using daemon = await startDaemon({ flags });
  const first = daemon.process();
  await using client = await connectRaw(daemon, { auth: null });
  await daemon.start();
  const second = readFileSync(logOf(daemon), 'utf8');
  for (let n = 0; n < 200; n++) {
    await client.request('server.ping');
  }
  expect(isRunning(first)).toBe(true);
  expect(statSync(`/proc/${first.pid}/fd/2`).size).toBeLessThanOrEqual(limit);
  expect(readFileSync(logOf(daemon), 'utf8').startsWith(second)).toBe(true);
  expect(existsSync(`${logOf(daemon)}.old`)).toBe(false);
});

test('a file of the user’s that serves as log is neither moved nor cut', async () => {
  const daemon = await prepareDaemon({ flags });
  await using _ = daemon;
  mkdirSync(daemon.runDir, { mode: 0o700 });
  mkdirSync(logOf(daemon));
  await daemon.start();
  await write(daemon, 0, 100);
  const file = join(daemon.dir, 'launcher.err');
  expect(statSync(file).size).toBeGreaterThan(limit);
  expect(readlinkSync(`/proc/${daemon.pid()}/fd/2`)).toBe(file);
});

test('a log that cannot be set aside starts over', async () => {
  const daemon = await prepareDaemon({ flags });
  await using _ = daemon;
  mkdirSync(join(`${logOf(daemon)}.old`, 'full'), { recursive: true, mode: 0o700 });
  await daemon.start();
  await write(daemon, 0, 100);
  expect(statSync(logOf(daemon)).size).toBeLessThanOrEqual(limit);
  expect(readFileSync(logOf(daemon), 'utf8')).toMatch(
    /^.*older lines are gone: rename .*remote-server\.log: (is a directory|file exists|directory not empty)\n/,
  );
});

testNeeding(mounts())(
  'with a full disk sessions go on, lines are counted, and writing resumes with the space',
  {},
  async () => {
    const daemon = await prepareDaemon({ profile: 'next', flags: ['-metrics-addr', '127.0.0.1:0'] });
    mkdirSync(daemon.runDir, { mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tmpfs', daemon.runDir]);
    const filler = join(daemon.runDir, 'filler');
    try {
      await daemon.start();
      await using client = await connectTo(daemon);
      const held = await start(client, 'held', 'cat', []);
      fill(filler);
      // The last page of the log has room for a few more lines.
      await write(daemon, 0, 100);
      const p = await start(client, 'p', 'sh', ['-c', 'echo still here; exit 3']);
      expect((await p.ended()).code).toBe(3);
      expect(p.stdout).toBe('still here\n');
      await held.write('and here\n');
      await held.until('and here');
      rmSync(filler);
      await using another = await connectTo(daemon);
      await another.request('server.ping');
      await daemon.untilLogged(/\d+ log line\(s\) were lost: ENOSPC$/);
      await daemon.untilLogged(/New connection from: @$/);
      await start(client, 'q', 'cat', []);
      await waitUntil(() => /Process q started/.test(daemon.log()) || undefined, 'a line of the new process');
      await daemon.stop();
    } finally {
      await daemon.kill().catch(() => {});
      execFileSync('umount', ['-l', daemon.runDir]);
      await daemon[Symbol.asyncDispose]();
    }
  },
);

/** Takes every byte of the file system. */
function fill(file: string): void {
  const { bsize, bavail } = statfsSync(join(file, '..'));
  writeFileSync(file, Buffer.alloc(bsize * bavail));
  try {
    for (;;) {
      writeFileSync(file, 'x', { flag: 'a' });
    }
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  }
}
