/** The contracts on Windows (under Wine: test/windows/run.sh). */
import { closeSync, openSync } from 'node:fs';
import { test } from 'vitest';
import { uv_get_osfhandle } from '../../native-bindings/node.ts';
import { createPlatform } from '../../platform/win32/index.ts';
import { createSharedMemory } from '../../platform/win32/shared-memory.ts';
import { countHandles } from '../windows/handle-count.ts';
import { canMakeJunctions } from '../windows/junctions.ts';
import { filesContract } from './files.contract.ts';
import { hostContract } from './host.contract.ts';
import type { Machine } from './machine.ts';
import { pathsContract } from './paths.contract.ts';
import { processesContract } from './processes.contract.ts';
import { removalContract } from './removal.contract.ts';
import { runDirectoryContract } from './run-directory.contract.ts';
import { sharedMemoryContract } from './shared-memory.contract.ts';
import { transportContract } from './transport.contract.ts';

const machine: Machine = {
  platform: createPlatform(),
  exitWith: (code) => ['cmd.exe', '/d', '/c', `exit ${code}`],
  // Five hundred are started by test/windows/children.test.ts, in both kinds of jobs.
  shortLived: 50,
  openHandles: countHandles,
  canLink: canMakeJunctions(),
  published: 'rpc.pipe',
  words: {
    noSuchFile: 'The system cannot find the file specified.',
    noSuchFolder: 'The system cannot find the path specified.',
    notDirectory: 'The directory name is invalid.',
    notEmpty: 'The directory is not empty.',
    exists: 'Cannot create a file when that file already exists.',
    notFoundInPath: '%PATH%',
    statOperation: 'CreateFile',
  },
};

sharedMemoryContract({
  test,
  memory: createSharedMemory,
  other() {
    const file = openSync(import.meta.filename, 'r');
    return { address: String(uv_get_osfhandle(file)), close: () => closeSync(file) };
  },
  errors: {
    other: /MapViewOfFile|DuplicateHandle/,
    noNumber: /no number of a handle/,
    nothing: /DuplicateHandle 999999/,
  },
});

processesContract(machine);
transportContract(machine);
runDirectoryContract(machine);
hostContract(machine);
filesContract(machine);
removalContract(machine);
pathsContract(machine, {
  home: 'C:\\Users\\me',
  homeVariable: 'USERPROFILE',
  expanded: {
    '~': 'C:\\Users\\me',
    '~/': 'C:\\Users\\me',
    '~/f.txt': 'C:\\Users\\me\\f.txt',
    '~/a4\\x\\..\\w': 'C:\\Users\\me\\a4\\w',
    '~/a/x/../b': 'C:\\Users\\me\\a\\b',
    '~\\a7': '~\\a7',
    '~user/f': '~user/f',
    'C:\\~\\f': 'C:\\~\\f',
    '': '',
  },
  cleaned: {
    '': '.',
    'C:\\': 'C:\\',
    'C:/a//b/': 'C:\\a\\b',
    'C:\\a\\.\\b\\..\\c': 'C:\\a\\c',
    'C:\\..\\a': 'C:\\a',
    'a/../..': '..',
    '\\\\server\\share\\a\\': '\\\\server\\share\\a',
    '//server/share/a': '\\\\server\\share\\a',
  },
  folders: {
    'C:\\a\\b': 'C:\\a',
    'C:\\a': 'C:\\',
    'C:/a/b': 'C:\\a',
    a: '.',
    '\\\\server\\share\\a': '\\\\server\\share\\',
  },
  absolute: ['C:\\', 'C:\\a', 'C:/a', '\\\\server\\share\\a', '\\\\server\\share\\'],
  relative: ['', 'a', '\\a', 'C:a', '/a', '~', '..\\a'],
  roots: ['C:\\', '\\\\server\\share\\'],
  within: [
    ['C:\\a\\b', 'C:\\a', true],
    ['C:\\A\\B', 'c:\\a', true],
    ['C:\\ab', 'C:\\a', false],
    ['C:\\a', 'C:\\', true],
    ['D:\\a', 'C:\\', false],
  ],
});
