/** What only Windows has about the run directory (spec platform.md §3 "Files, paths, environment", register D21). */
import { closeSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
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
