/** `daemon.pid` (spec mesh.md §3.2): whom it names, and whatever else may lie there under its name. */
import { execFileSync, spawn } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import type { Platform } from '../../../platform/platform.ts';
import { type LockPlace, runningDaemon, takeSingletonLock } from '../../../src/doors/mesh/singleton-lock.ts';
import { procFiles, testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';

const base = mkdtempSync('/tmp/hfm-');
const folder = join(base, 'daemon');
const file = join(folder, 'daemon.pid');
const { runDirectories, processes, transport }: Platform = await loadPlatform();
let place: LockPlace & { readonly directory: { close(): void } };

beforeEach(() => {
  mkdirSync(folder, { mode: 0o700 });
  place = { directory: runDirectories.open(folder), socket: join(folder, 'daemon.sock'), processes, transport };
});
afterEach(() => {
  place.directory.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => rmSync(base, { recursive: true }));

/** Takes the lock in place of what was there, and gives it back. */
async function expectStale(): Promise<void> {
  expect(await runningDaemon(place)).toBe(undefined);
  const lock = await takeSingletonLock(place);
  expect(lock.recovered).toBe(true);
  expect(readFileSync(file, 'utf8')).toBe(String(process.pid));
  expect(lstatSync(file).mode & 0o777).toBe(0o600);
  lock.release();
  expect(lstatSync(file, { throwIfNoEntry: false })).toBe(undefined);
}

test.each([
  ['garbage', 'no number at all'],
  ['nothing', ''],
  ['a negative number', '-1'],
  ['the number of a thread of the kernel, or of nobody', '2'],
  ['a number that no process has', '4194304'],
  ['a number of no end', '9'.repeat(400)],
  ['our own number, as after the restart of a container', String(process.pid)],
  ['bytes that are no text', Buffer.from([0xff, 0, 0x31])],
])('a pid file with %s is stale', async (_what, content) => {
  writeFileSync(file, content);
  if (content === '2') {
    // Whoever has it began long before, so only the year 1970 is before that.
    utimesSync(file, 1, 1);
  }
  await expectStale();
});

test('one that names a process that runs is refused by name, and left as it is', async () => {
  const running = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    writeFileSync(file, `${running.pid}`);
    await expect(takeSingletonLock(place)).rejects.toThrow(`daemon already running (pid ${running.pid})`);
    expect(readFileSync(file, 'utf8')).toBe(String(running.pid));
  } finally {
    running.kill('SIGKILL');
  }
});

test('a number that was given to another process since is stale', async () => {
  const innocent = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    writeFileSync(file, String(innocent.pid));
    const yesterday = Date.now() / 1000 - 86_400;
    utimesSync(file, yesterday, yesterday);
    await expectStale();
    expect(innocent.exitCode ?? innocent.signalCode).toBe(null);
  } finally {
    innocent.kill('SIGKILL');
  }
});

testNeeding(procFiles)('a process that has ended and waits for its parent is stale', {}, async () => {
  // The shell becomes a program that does not collect its child, and only then the child is let go.
  const gate = join(folder, 'gate');
  execFileSync('mkfifo', [gate]);
  const parent = spawn('sh', ['-c', `cat ${gate} & echo $!; exec sleep 600`], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    let pid = '';
    parent.stdout.setEncoding('utf8').on('data', (text: string) => {
      pid += text;
    });
    const nameOf = (id: number | undefined) => readFileSync(`/proc/${id}/comm`, 'utf8').trim();
    await waitUntil(() => pid.endsWith('\n') && nameOf(parent.pid) === 'sleep', 'the shell to become another program');
    writeFileSync(gate, '');
    const stateOf = (id: string) => readFileSync(`/proc/${id}/stat`, 'utf8').replace(/^.*\) /s, '');
    await waitUntil(() => stateOf(pid.trim()).startsWith('Z'), 'a process that has ended');
    writeFileSync(file, pid.trim());
    await expectStale();
  } finally {
    parent.kill('SIGKILL');
  }
});

test('a pipe gives way and holds nobody up; a link gives way, and what it leads to is untouched', async () => {
  execFileSync('mkfifo', [file]);
  await expectStale();
  const precious = join(base, 'precious');
  writeFileSync(precious, '1');
  symlinkSync(precious, file);
  await expectStale();
  expect(readFileSync(precious, 'utf8')).toBe('1');
});

test('a folder is left, and named with what to do', async () => {
  mkdirSync(join(file, 'x'), { recursive: true });
  expect(await runningDaemon(place)).toBe(undefined);
  await expect(takeSingletonLock(place)).rejects.toThrow(/^cannot take \S+daemon\.pid: .*; remove what lies there$/);
  expect(lstatSync(file).isDirectory()).toBe(true);
});

test('it is given back only while it holds our number', async () => {
  const lock = await takeSingletonLock(place);
  expect(lock.recovered).toBe(false);
  writeFileSync(file, '1');
  lock.release();
  expect(readFileSync(file, 'utf8')).toBe('1');
});
