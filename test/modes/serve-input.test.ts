/** What a user may get wrong on the command line of `-serve`: an answer, never a launcher that hangs. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asUser, otherUsers } from '../support/as-user.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { linux, privateMounts, testNeeding } from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { runProgram } from './run-program.ts';

test('a socket path where no folder can be made is refused at once', async () => {
  await using daemon = await prepareDaemon();
  const { code, stderr } = await daemon.run(['-serve', '-socket', '/proc/none/here/s', '-token-file', '/none']);
  expect(stderr).toBe('claustrum: listen unix: listen unix /proc/none/here/s: bind: no such file or directory\n');
  expect(code).toBe(1);
});

test('a token descriptor that nobody handed over is refused, also where the runtime uses the number itself', async () => {
  await using daemon = await prepareDaemon();
  const numbers = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, 9_999_999_999];
  const refusals = numbers.map(async (number) => {
    const { code, stderr } = await daemon.run(['-serve', '-socket', daemon.socket, '-token-fd', String(number)]);
    expect(stderr).toBe(`claustrum: read --token-fd: read descriptor ${number}: bad file descriptor\n`);
    expect(code).toBe(1);
  });
  await Promise.all(refusals);
});

test('a run directory that everybody may write to is refused with what to do about it', async () => {
  await using daemon = await prepareDaemon();
  const open = `${daemon.dir}/open`;
  mkdirSync(open);
  chmodSync(open, 0o777);
  const { code, stderr } = await daemon.run(['-serve', '-socket', `${open}/s`, '-token-file', '/none']);
  expect(stderr).toContain(`holdfast: ${open} is writable by everyone and has no sticky bit; chmod o-w ${open}, or`);
  expect(stderr).toContain(`claustrum: listen unix: listen unix ${open}/s: bind: permission denied\n`);
  expect(code).toBe(1);
});

test.each(['', '.', '..', 'run/..', '/'])('the socket path "%s", which names a folder, is refused', async (path) => {
  await using daemon = await prepareDaemon();
  const before = readdirSync(daemon.home);
  const { code, stderr } = await daemon.runIn(daemon.home, ['-serve', '-socket', path, '-token-file', '/none']);
  const [ours, reason, ...more] = stderr.split('\n');
  expect(ours).toBe(
    `holdfast: the socket path "${path}" names a folder; add the name of the socket, e.g. ${join(path, 'rpc.sock')}`,
  );
  expect([reason, ...more]).toEqual([`claustrum: listen unix: listen unix ${path}: bind: invalid argument`, '']);
  expect(code).toBe(1);
  // No log, no folder.
  expect(readdirSync(daemon.home)).toEqual(before);
});

describe('a token file that is a FIFO', () => {
  const fifo = async (daemon: TestDaemon): Promise<string> => {
    const path = join(daemon.dir, 'fifo');
    await runProgram('mkfifo', [path], { env: daemon.env });
    return path;
  };

  test('is waited for, read and removed', async () => {
    await using daemon = await prepareDaemon();
    const path = await fifo(daemon);
    const started = daemon.run(['-serve', '-socket', daemon.socket, '-token-file', path]);
    await daemon.untilLogged(/open-files limit/);
    await runProgram('sh', ['-c', 'echo from the fifo >"$1"', 'sh', path], { env: daemon.env });
    expect(await started).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(join(daemon.runDir, 'daemon.token'), 'utf8')).toBe('from the fifo');
    expect(existsSync(path)).toBe(false);
  });

  test('and that nobody writes to ends the start with that reason, and leaves no process behind', async () => {
    await using daemon = await prepareDaemon();
    const path = await fifo(daemon);
    const { code, stderr } = await daemon.run(['-serve', '-socket', daemon.socket, '-token-file', path]);
    expect(stderr.split('\n')).toEqual([
      `claustrum: read --token-file: read ${path}: nobody wrote a token within 5s`,
      `claustrum: timeout waiting for daemon to accept on ${daemon.socket}`,
      '',
    ]);
    expect(code).toBe(1);
    await waitUntil(() => daemon.daemons().length === 0, 'the daemon to be gone');
  });
});

testNeeding(otherUsers())('a umask that leaves the owner nothing keeps nobody out of his own folders', {}, async () => {
  const through = [...asUser(61_021), 'sh', '-c', 'umask 0777; exec "$@"', 'sh'];
  await using daemon = await startDaemon({ profile: 'next', through });
  // We are root, and the library sends nothing to another user's daemon.
  await using client = await connectRaw(daemon);
  await client.spawn('p', 'sleep', ['600']);
  expect(statSync(daemon.runDir).mode & 0o777).toBe(0o700);
  expect(statSync(join(daemon.runDir, 'children')).mode & 0o777).toBe(0o700);
  for (const name of ['rpc.sock', 'daemon.token', 'daemon.lock', 'remote-server.log']) {
    expect([name, statSync(join(daemon.runDir, name)).mode & 0o777]).toEqual([name, 0o600]);
  }
});

testNeeding(linux, privateMounts())(
  'a run directory on a read-only file system: each reason is told once',
  {},
  async () => {
    const mount = 'mkdir -m 700 run && mount --bind run run && mount -o remount,bind,ro run && exec "$@"';
    const through = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', mount, 'sh'];
    await using daemon = await prepareDaemon({ through });
    const { code, stdout, stderr } = await daemon.launch();
    const lines = stderr.split('\n').filter((line) => line.startsWith('claustrum: '));
    expect(lines).toEqual([
      `claustrum: listen unix: listen unix ${daemon.socket}: bind: read-only file system`,
      `claustrum: timeout waiting for daemon to accept on ${daemon.socket}`,
    ]);
    expect([code, stdout]).toEqual([1, '']);
  },
);
