/** The contracts on Linux and macOS. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import { filesContract } from './files.contract.ts';
import { hostContract } from './host.contract.ts';
import type { Machine } from './machine.ts';
import { pathsContract } from './paths.contract.ts';
import { processesContract } from './processes.contract.ts';
import { removalContract } from './removal.contract.ts';
import { runDirectoryContract } from './run-directory.contract.ts';
import { RunningChild } from './running-child.ts';
import { transportContract } from './transport.contract.ts';

const machine: Machine = {
  platform: createPlatform(),
  exitWith: (code) => ['/bin/sh', '-c', `exit ${code}`],
  shortLived: 500,
  openHandles: () => readdirSync('/dev/fd').length,
  canLink: true,
  published: 'rpc.sock',
  words: {
    noSuchFile: 'no such file or directory',
    noSuchFolder: 'no such file or directory',
    notDirectory: 'not a directory',
    notEmpty: 'directory not empty',
    exists: 'file exists',
    notFoundInPath: '$PATH',
    statOperation: 'stat',
  },
};

processesContract(machine);
transportContract(machine);
runDirectoryContract(machine);
hostContract(machine);
filesContract(machine);
removalContract(machine);
pathsContract(machine, {
  home: '/home/me',
  homeVariable: 'HOME',
  expanded: {
    '~': '/home/me',
    '~/': '/home/me',
    '~/f.txt': '/home/me/f.txt',
    '~//f.txt': '/home/me/f.txt',
    '~/a/x/../b': '/home/me/a/b',
    '~user/f': '~user/f',
    '/tmp/~/f': '/tmp/~/f',
    $HOME: '$HOME',
    ' ~/f': ' ~/f',
    '': '',
  },
  cleaned: { '': '.', '/': '/', '//a//b/': '/a/b', '/a/./b/../c': '/a/c', '/../a': '/a', 'a/../..': '..', './a/': 'a' },
  folders: { '/a/b': '/a', '/a': '/', a: '.', '/a/b/': '/a', '/a//b': '/a' },
  absolute: ['/', '/a', '//a'],
  relative: ['', 'a', './a', '~', '../a'],
  roots: ['/'],
  within: [
    ['/a/b', '/a', true],
    ['/a', '/a', true],
    ['/ab', '/a', false],
    ['/A/b', '/a', false],
    ['/a', '/', true],
    ['/', '/a', false],
  ],
});

test('the start time of a child is the one the system shows, whether it had to be asked for or not', () => {
  // So many starts take a while: in some of them the clock of the kernel ticks.
  const children = Array.from({ length: 60 }, () => new RunningChild(machine.platform, { command: 'cat' }).child);
  const told = children.map(({ startTime, start }) => ({ startTime, start }));
  const { processes, childMarkers } = machine.platform;
  expect(told).toEqual(
    children.map(({ pid }) => ({
      startTime: processes.startSeconds(pid),
      // macOS has another text for records, which is always asked for.
      start: process.platform === 'linux' ? childMarkers?.startOf(pid) : undefined,
    })),
  );
});

test('a child that has ended already says so in the place of the start that its record would have', async () => {
  const ended = new RunningChild(machine.platform, { command: 'true' });
  await ended.ended();
  expect(ended.child.start).toBe('');
});
