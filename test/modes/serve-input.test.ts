/** What a user may get wrong on the command line of `-serve`: an answer, never a launcher that hangs. */
import { chmodSync, mkdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { prepareDaemon } from '../support/daemon.ts';

test('a socket path where no folder can be made is refused at once', async () => {
  await using daemon = await prepareDaemon();
  const { code, stderr } = await daemon.run(['-serve', '-socket', '/proc/none/here/s', '-token-file', '/none']);
  expect(stderr).toBe('claustrum: listen unix: listen unix /proc/none/here/s: bind: no such file or directory\n');
  expect(code).toBe(1);
});

test('a token descriptor that nobody handed over is refused, also where the runtime uses the number itself', async () => {
  await using daemon = await prepareDaemon();
  for (const number of [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, 9_999_999_999]) {
    const { code, stderr } = await daemon.run(['-serve', '-socket', daemon.socket, '-token-fd', String(number)]);
    expect(stderr).toBe(`claustrum: read --token-fd: read descriptor ${number}: bad file descriptor\n`);
    expect(code).toBe(1);
  }
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
