/** What only Windows has about the run directory (spec platform.md §3 "Files, paths, environment", register D21). */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import * as node from '../../native-bindings/node.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import { opened } from '../../platform/win32/handles.ts';
import { createPaths } from '../../platform/win32/paths.ts';
import { createRunDirectories } from '../../platform/win32/run-directories.ts';
import { temporaryFolder } from '../platform/machine.ts';

const runDirectories = createRunDirectories(createPaths());

function openLog(path: string, rotate: 'unlink' | 'rename'): number {
  const log = runDirectories.openLog(path, rotate);
  if ('declined' in log) {
    throw new Error(log.declined);
  }
  return log.fd;
}

test.each(['unlink', 'rename'] as const)('a second daemon (%s) appends to the log a first one has open', (rotate) => {
  const path = join(temporaryFolder(), 'remote-server.log');
  const first = openLog(path, rotate);
  onTestFinished(() => closeSync(first));
  writeSync(first, 'first\n');
  const second = openLog(path, rotate);
  onTestFinished(() => closeSync(second));
  writeSync(second, 'second\n');
  writeSync(first, 'first again\n');
  expect(readFileSync(path, 'utf8')).toBe('first\nsecond\nfirst again\n');
});

test('nobody can put another folder in the place of one that is in use', () => {
  const folder = join(temporaryFolder(), 'run');
  runDirectories.create(folder);
  const directory = runDirectories.open(folder);
  expect(() => renameSync(folder, `${folder}-moved`)).toThrow();
  directory.close();
  renameSync(folder, `${folder}-moved`);
});

test('a file that somebody has open is not taken for gone', () => {
  const folder = join(temporaryFolder(), 'run');
  runDirectories.create(folder);
  const directory = runDirectories.open(folder);
  onTestFinished(() => directory.close());
  const owned = directory.publish('daemon.token', Buffer.from('secret'));
  const reader: Handle = opened(
    kernel32.CreateFileW(
      owned.path,
      kernel32.GENERIC_READ,
      kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE,
      null,
      kernel32.OPEN_EXISTING,
      0,
      null,
    ),
    'CreateFile',
  );
  owned.remove();
  kernel32.CloseHandle(reader);
  expect(directory.readText('daemon.token', 10)).toBeUndefined();
});

test('a folder or a file of the same name that came later is never removed', () => {
  const folder = join(temporaryFolder(), 'run');
  runDirectories.create(folder);
  const directory = runDirectories.open(folder);
  onTestFinished(() => directory.close());
  const owned = directory.publish('rpc.pipe', Buffer.from('ours'));
  rmSync(owned.path);
  writeFileSync(owned.path, 'theirs');
  owned.remove();
  expect(readFileSync(owned.path, 'utf8')).toBe('theirs');
  rmSync(owned.path);
  mkdirSync(owned.path);
  owned.remove();
  rmSync(owned.path, { recursive: true });
});

function openRunDirectory(): RunDirectory {
  const folder = join(temporaryFolder(), 'run');
  runDirectories.create(folder);
  const directory = runDirectories.open(folder);
  onTestFinished(() => directory.close());
  return directory;
}

test('a start waits for its turn while another one has it', async () => {
  const directory = openRunDirectory();
  const steps: string[] = [];
  let end = () => {};
  const first = directory.exclusively(async () => {
    await new Promise<void>((resolve) => {
      end = resolve;
    });
    steps.push('first');
  });
  const second = directory.exclusively(() => void steps.push('second'));
  expect(steps).toEqual([]);
  end();
  await Promise.all([first, second]);
  expect(steps).toEqual(['first', 'second']);
});

test('a marker that may never be opened is not waited for', async () => {
  const directory = openRunDirectory();
  mkdirSync(join(directory.path, 'daemon.busy'));
  let started = false;
  const start = directory.exclusively(() => {
    started = true;
  });
  // Not after a turn of the event loop, let alone after the five seconds that another start may take.
  expect(started).toBe(true);
  await start;
});

test('a lock is given back although another handle of its file is still open', () => {
  const directory = openRunDirectory();
  // The descriptor of the lock will be the lowest one that is free, which is this one once it is closed.
  const fd = openSync(join(directory.path, 'other'), 'w');
  closeSync(fd);
  const first = directory.tryLock('daemon.lock', { create: true });
  if (first.state !== 'taken') {
    throw new Error(`the lock is ${first.state}`);
  }
  const us = kernel32.GetCurrentProcess();
  const second: Out<Handle | null> = [null];
  const duplicated = kernel32.DuplicateHandle(
    us,
    node.uv_get_osfhandle(fd),
    us,
    second,
    0,
    0,
    kernel32.DUPLICATE_SAME_ACCESS,
  );
  expect([duplicated, second[0]]).not.toContain(null);
  onTestFinished(() => void (second[0] !== null && kernel32.CloseHandle(second[0])));
  first.lock.releaseUnchanged();
  const next = directory.tryLock('daemon.lock', { create: true });
  expect(next.state).toBe('taken');
  if (next.state === 'taken') {
    next.lock.releaseUnchanged();
  }
});

test('beyond 260 characters a run directory has its files, its turns and its lock', async () => {
  const folder = join(temporaryFolder(), 'a'.repeat(150), 'b'.repeat(150), 'run');
  runDirectories.create(folder);
  const directory = runDirectories.open(folder);
  onTestFinished(() => directory.close());
  const owned = directory.publish('daemon.token', Buffer.from('secret'));
  expect(directory.readText('daemon.token', 10)).toBe('secret');
  expect(await directory.exclusively(() => 'done')).toBe('done');
  const first = directory.tryLock('daemon.lock', { create: true });
  expect([first.state, directory.tryLock('daemon.lock', { create: true }).state]).toEqual(['taken', 'held']);
  if (first.state === 'taken') {
    first.lock.releaseUnchanged();
  }
  owned.remove();
  expect(directory.readText('daemon.token', 10)).toBeUndefined();
});
