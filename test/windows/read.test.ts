/** `files.read` of what only Windows has (spec generation-n2.md §8.1): devices, streams, names that Windows reads otherwise. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { opened } from '../../platform/win32/handles.ts';
import { ownerOnly } from '../../platform/win32/security.ts';
import { call } from '../files/support.ts';
import { temporaryFolder } from '../platform/machine.ts';

const notRegular = '-32602 files.read: not a regular file';
const missing = '{"content":"","exists":false}';
const content = '{"content":"text","exists":true}';

let folder: string;
let file: string;

beforeEach(() => {
  folder = temporaryFolder();
  file = join(folder, 'file.txt');
  writeFileSync(file, 'text');
});

const read = (path: string) => call('files.read', { path }, { profile: 'latest' });

/** Opens a file as another program may have it open. */
function hold(access: number, share: number): void {
  const handle = opened(kernel32.CreateFileW(file, access, share, null, kernel32.OPEN_EXISTING, 0, null), 'CreateFile');
  onTestFinished(() => void kernel32.CloseHandle(handle));
}

/** NTFS has them; Wine has not, which docs/windows.md says. */
function hasStreams(): boolean {
  const path = join(mkdtempSync(join(tmpdir(), 'hf-')), 'file');
  try {
    writeFileSync(path, '');
    writeFileSync(`${path}:stream`, 'text');
    return readFileSync(`${path}:stream`, 'utf8') === 'text' && readFileSync(`${path}::$DATA`, 'utf8') === '';
  } catch {
    return false;
  } finally {
    rmSync(dirname(path), { recursive: true });
  }
}

/** Whether this machine has such a device. */
function isThere(device: string): boolean {
  const handle = kernel32.CreateFileW(device, kernel32.GENERIC_READ, 3, null, kernel32.OPEN_EXISTING, 0, null);
  return handle !== kernel32.INVALID_HANDLE_VALUE && kernel32.CloseHandle(handle) !== 0;
}

describe('a device', () => {
  test('is refused: NUL in every spelling', async () => {
    for (const path of ['NUL', 'nul', 'NUL:', String.raw`\\.\NUL`, '//./nul', join(folder, 'NUL'), `${folder}/nul`]) {
      expect([path, await read(path)]).toEqual([path, notRegular]);
    }
  });

  test('of a serial port is refused, and missing where the machine has none', async () => {
    for (const path of ['COM1', 'AUX', 'LPT1', 'PRN']) {
      expect([path, await read(path)]).toEqual([path, isThere(path) ? notRegular : missing]);
    }
  });

  test('of a console cannot be opened by a daemon, which has none', async () => {
    for (const path of ['CON', 'CONIN$', 'CONOUT$']) {
      expect([path, await read(path)]).toEqual([path, `-32603 open ${path}: The handle is invalid.`]);
    }
  });

  test('that is a disk or a volume is never read', async () => {
    for (const path of [String.raw`\\.\PhysicalDrive0`, String.raw`\\.\C:`]) {
      // Windows opens it for an administrator and has none of the facts of a file; Wine has them.
      const answers = [notRegular, expect.stringMatching(/^-32603 (?:open|GetFileInformationByHandle) .*\.$/)];
      expect(answers, path).toContainEqual(await read(path));
    }
  });

  test('that is a pipe is refused, and its server is told of a client that cannot be acted for', async () => {
    const name = `\\\\.\\pipe\\hf-read-${process.pid}`;
    const pipe = opened(
      kernel32.CreateNamedPipeW(name, kernel32.PIPE_ACCESS_DUPLEX, 0, 1, 4096, 4096, 0, ownerOnly()),
      'CreateNamedPipe',
    );
    onTestFinished(() => void kernel32.CloseHandle(pipe));
    expect(await read(name)).toBe(notRegular);
  });

  test('is none where a folder of the path is missing or a file, nor with an ending', async () => {
    for (const path of [join(folder, 'none', 'NUL'), join(file, 'b'), 'NUL.txt', join(folder, 'COM1.log')]) {
      expect([path, await read(path)]).toEqual([path, missing]);
    }
  });
});

describe('the name of a file', () => {
  test('with a separator behind it is no folder', async () => {
    expect(await read(`${file}\\`)).toBe(`-32603 open ${file}\\: The directory name is invalid.`);
    mkdirSync(join(folder, 'inner'));
    expect(await read(`${folder}\\inner\\`)).toBe('-32602 files.read: path is a directory');
  });

  test('may end in dots and spaces, which Windows drops', async () => {
    for (const path of [`${file}.`, `${file} `, `${file}. .`]) {
      expect([path, await read(path)]).toEqual([path, content]);
    }
  });

  test.runIf(hasStreams())('and of a stream is that of its content', async () => {
    writeFileSync(`${file}:stream`, 'text');
    expect(await read(`${file}:stream`)).toBe(content);
    expect(await read(`${file}::$DATA`)).toBe(content);
  });
});

test('a file that another program writes and shares with nobody is told with the words of Windows', async () => {
  hold(kernel32.GENERIC_WRITE, 0);
  expect(await read(file)).toBe(
    `-32603 open ${file}: The process cannot access the file because it is being used by another process.`,
  );
});

test('a file that another program only reads is read', async () => {
  hold(kernel32.GENERIC_READ, kernel32.FILE_SHARE_READ);
  expect(await read(file)).toBe(content);
});
