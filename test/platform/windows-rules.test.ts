/** Rules of the Windows adapter that need no Windows, so every machine tests them. */
import { fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { LockFile } from '../../platform/common/lock-file.ts';
import { batchCommandLine, isBatchFile, joinWords, splitWords } from '../../platform/win32/command-line.ts';
import { environmentBlock } from '../../platform/win32/environment.ts';
import {
  clean,
  directoryOf,
  endsInDeviceName,
  hasPlainSpelling,
  isAbsolute,
  isDevicePath,
  isRoot,
  isWithin,
} from '../../platform/win32/path-spelling.ts';
import { findProgram, isFile } from '../../platform/win32/program-search.ts';
import { leadsElsewhere } from '../../platform/win32/reparse-tags.ts';
import { isHeldLock, isOthersTurn } from '../../platform/win32/turns.ts';
import { afterWake } from '../../platform/win32/wake.ts';
import { waitUntil } from '../support/wait.ts';

// The values are those of ntifs.h.
test.each([
  ['IO_REPARSE_TAG_SYMLINK', 0xa000000c, true],
  ['IO_REPARSE_TAG_MOUNT_POINT', 0xa0000003, true],
  ['IO_REPARSE_TAG_LX_SYMLINK', 0xa000001d, true],
  ['IO_REPARSE_TAG_GLOBAL_REPARSE', 0xa0000019, true],
  ['IO_REPARSE_TAG_WCI_LINK', 0xa0000027, true],
  ['IO_REPARSE_TAG_IIS_CACHE', 0xa0000010, true],
  ['IO_REPARSE_TAG_ONEDRIVE', 0x80000021, false],
  ['IO_REPARSE_TAG_CLOUD', 0x9000001a, false],
  ['IO_REPARSE_TAG_CLOUD_1', 0x9000101a, false],
  ['IO_REPARSE_TAG_CLOUD_6', 0x9000601a, false],
  ['IO_REPARSE_TAG_CLOUD_F', 0x9000f01a, false],
  ['IO_REPARSE_TAG_DEDUP', 0x80000013, false],
  ['IO_REPARSE_TAG_APPEXECLINK', 0x8000001b, false],
  ['IO_REPARSE_TAG_WOF', 0x80000017, false],
  ['IO_REPARSE_TAG_WCI', 0x80000018, false],
  ['IO_REPARSE_TAG_FILE_PLACEHOLDER', 0x80000015, false],
  ['IO_REPARSE_TAG_AF_UNIX', 0x80000023, false],
  ['IO_REPARSE_TAG_HSM', 0xc0000004, false],
  ['IO_REPARSE_TAG_PROJFS', 0x9000001c, false],
])('a reparse point with %s is a link only when it leads elsewhere', (_, tag, leads) => {
  expect(leadsElsewhere(tag)).toBe(leads);
});

test('paths are read as Windows reads them', () => {
  expect(['C:\\a', '\\\\server\\share\\a', 'C:/a'].map(isAbsolute)).toEqual([true, true, true]);
  expect(['\\a', 'C:a', 'a', ''].map(isAbsolute)).toEqual([false, false, false, false]);
  expect(['C:\\', '\\\\server\\share\\', 'C:\\a', '\\'].map(isRoot)).toEqual([true, true, false, false]);
  expect(['C:/a//b/', 'a/../..', '//server/share/a'].map(clean)).toEqual(['C:\\a\\b', '..', '\\\\server\\share\\a']);
  expect(directoryOf('C:\\a\\b')).toBe('C:\\a');
  expect(isWithin('c:\\USERS\\me', 'C:\\Users')).toBe(true);
  expect(isWithin('C:\\Users2', 'C:\\Users')).toBe(false);
});

test.each([
  ['C:\\a\\b', true],
  ['a\\..\\b', true],
  ['\\\\server\\share\\a', true],
  ['C:\\a.b c', true],
  ['C:\\a.', false],
  ['C:\\a \\b', false],
  ['C:\\a:stream', false],
  ['C:\\a::$DATA', false],
  ['\\\\?\\C:\\a', false],
  ['//?/C:/a', false],
  ['\\\\.\\PhysicalDrive0', false],
  ['\\??\\C:\\a', false],
])('whether %s is read as it is written: %s', (path, isPlain) => {
  expect(hasPlainSpelling(path)).toBe(isPlain);
});

test.each([
  ['NUL', true],
  ['nul', true],
  ['NUL:', true],
  ['NUL. .', true],
  ['C:\\a\\NUL', true],
  ['C:/a/com1', true],
  ['conin$', true],
  ['COM¹', true],
  ['NUL.txt', false],
  ['xNUL', false],
  ['COM10', false],
  ['C:\\NUL\\a', false],
])('whether the last name of %s is that of a device: %s', (path, isDevice) => {
  expect(endsInDeviceName(path)).toBe(isDevice);
});

test.each([
  ['\\\\.\\NUL', true],
  ['//./PhysicalDrive0', true],
  ['\\\\.\\C:', true],
  ['\\\\?\\C:', true],
  ['\\\\.\\pipe\\x\\y', true],
  ['\\\\.\\C:\\file', false],
  ['\\\\?\\UNC\\server\\share', false],
  ['\\\\server\\share', false],
  ['C:\\NUL', false],
])('whether %s is a device by its prefix: %s', (path, isDevice) => {
  expect(isDevicePath(path)).toBe(isDevice);
});

test('words come back from a command line as they were, whatever quotes and backslashes they hold', () => {
  const words = ['C:\\Program Files\\tool.exe', '', ' ', 'a"b', 'a\\"b', 'end\\', 'a b\\', '"', '\\\\', '%PATH%'];
  expect(splitWords(joinWords(words))).toEqual(words);
});

describe('a command', () => {
  const variables = { PATH: 'C:\\bin;relative;"C:\\Program Files\\x";C:\\apps', PATHEXT: '.COM;.EXE;.CMD' };
  const there = new Set(['c:\\bin\\tool.cmd', 'c:\\apps\\tool.exe', 'c:\\apps\\python.exe', 'd:\\work\\run.exe']);
  const find = (command: string, cwd?: string) =>
    findProgram({ command, cwd }, variables, (file) => there.has(file.toLowerCase()));

  test('is the first file of PATH with an ending of PATHEXT', () => {
    expect(find('tool').toLowerCase()).toBe('c:\\bin\\tool.cmd');
    expect(find('python').toLowerCase()).toBe('c:\\apps\\python.exe');
    expect(find('python.exe').toLowerCase()).toBe('c:\\apps\\python.exe');
  });

  test('is never looked for in the current folder or a relative one', () => {
    expect(() => find('run')).toThrow('exec: "run": executable file not found in %PATH%');
  });

  test('with a separator counts from the folder it is to run in, and is used as it is when it is not there', () => {
    expect(find('.\\run', 'D:\\work').toLowerCase()).toBe('d:\\work\\run.exe');
    expect(find('D:\\none\\x')).toBe('D:\\none\\x');
  });
});

describe('what is there', () => {
  const file = { isDirectory: () => false };
  const folder = { isDirectory: () => true };
  const fails = (code: string) => () => {
    throw Object.assign(new Error(code), { code });
  };

  test('is an app execution alias too, which nobody may open', () => {
    const look = { stat: fails('EACCES'), lstat: () => file };
    expect(isFile('C:\\Users\\me\\AppData\\Local\\Microsoft\\WindowsApps\\python.exe', look)).toBe(true);
    expect(isFile('C:\\x.exe', { stat: fails('UNKNOWN'), lstat: () => file })).toBe(true);
  });

  test('is no folder, and nothing that is missing or cannot be looked at in either way', () => {
    expect(isFile('C:\\x', { stat: () => folder, lstat: () => folder })).toBe(false);
    expect(isFile('C:\\x', { stat: fails('ENOENT'), lstat: () => file })).toBe(false);
    expect(isFile('C:\\x', { stat: fails('EACCES'), lstat: fails('EACCES') })).toBe(false);
    expect(isFile('C:\\x', { stat: fails('EACCES'), lstat: () => folder })).toBe(false);
  });
});

test('the environment block is sorted, and has one entry for a variable in whatever case', () => {
  const block = environmentBlock([
    ['Path', 'C:\\old'],
    ['b', '2'],
    ['A', '1'],
    ['PATH', 'C:\\new'],
    ['SystemRoot', 'C:\\Windows'],
  ]);
  expect(block.toString('utf16le')).toBe('A=1\0b=2\0PATH=C:\\new\0SystemRoot=C:\\Windows\0\0');
});

test('a batch file gets no word that cmd.exe could take for a command', () => {
  expect(isBatchFile('C:\\a\\npm.CMD')).toBe(true);
  expect(isBatchFile('C:\\a\\tool.exe')).toBe(false);
  const line = batchCommandLine('C:\\Windows\\System32\\cmd.exe', 'C:\\a b\\npm.cmd', ['x&calc', '%PATH%', 'plain']);
  expect(line).toBe(
    'C:\\Windows\\System32\\cmd.exe /e:ON /v:OFF /d /s /c ""C:\\a b\\npm.cmd" "x&calc" "%%cd:~,%PATH%%cd:~,%" plain"',
  );
  expect(batchCommandLine('cmd.exe', 'C:\\a.cmd', ['two\nlines'])).toBeUndefined();
});

describe("a marker of somebody else's turn", () => {
  const [accessDenied, sharingViolation, deletePending, notSupported] = [5, 32, 303, 50];

  test.each([
    ['that another daemon has open is waited for', sharingViolation, true, true],
    ['that is about to go is waited for', deletePending, true, true],
    ['that is being deleted, so that nobody may look at it, is waited for', accessDenied, false, true],
    ['that may never be opened is not waited for', accessDenied, true, false],
    ['on a file system that knows no such open is not waited for', notSupported, true, false],
  ])('%s', (_, failure, canBeLookedAt, waits) => {
    expect(isOthersTurn(failure, () => canBeLookedAt)).toBe(waits);
  });
});

test.each([
  ['a lock that another daemon has', 33, true],
  ['a lock that is asked for while another one waits', 997, true],
  ['a file system without locks (ERROR_NOT_SUPPORTED)', 50, false],
  ['a file system without locks (ERROR_INVALID_FUNCTION)', 1, false],
  ['a file that may not be locked', 5, false],
  ['a share that is gone', 64, false],
])('%s: whether it counts as held', (_, failure, isHeld) => {
  expect(isHeldLock(failure)).toBe(isHeld);
});

describe('a wait for the end of a program', () => {
  function watch() {
    const wake = new PassThrough();
    const steps: string[] = [];
    const state = { ended: false, looks: 0 };
    const watched = {
      stopWaiting: () => void steps.push('stop waiting'),
      isSignalled: () => {
        state.looks++;
        return state.ended;
      },
      closeFarEnd: () => void steps.push('close the far end'),
    };
    afterWake(wake, watched, () => steps.push('told'));
    return { wake, steps, state };
  }

  test('is told once, when the program has ended and the system has closed the pipe', async () => {
    const { wake, steps, state } = watch();
    state.ended = true;
    wake.end();
    await waitUntil(() => steps.includes('told'), 'the end to be told');
    expect(steps).toEqual(['stop waiting', 'told']);
  });

  test('whose pipe fails tells nothing while the program still runs, and its end afterwards', async () => {
    const { wake, steps, state } = watch();
    wake.destroy(new Error('the pipe has failed'));
    await waitUntil(() => state.looks >= 3, 'the program to be looked at again');
    expect(steps).toEqual(['stop waiting', 'close the far end']);
    state.ended = true;
    await waitUntil(() => steps.includes('told'), 'the end to be told');
    const { looks } = state;
    expect(steps).toEqual(['stop waiting', 'close the far end', 'told']);
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect([state.looks, steps.length]).toEqual([looks, 3]);
  });
});

test('a lock is given back before its file is closed, because Windows may drop the lock of a closed file later', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hf-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const fd = openSync(join(folder, 'daemon.lock'), 'w+');
  const steps: string[] = [];
  const lock = new LockFile(fd, () => steps.push(`unlocked while ${fstatSync(fd).isFile() ? 'open' : 'closed'}`));
  lock.releaseUnchanged();
  lock.clearAndRelease();
  expect(steps).toEqual(['unlocked while open']);
  expect(() => fstatSync(fd)).toThrow('EBADF');
});
