/** The contracts on Linux and macOS. */
import { readdirSync } from 'node:fs';
import { createPlatform } from '../../platform/posix/index.ts';
import type { Machine } from './machine.ts';
import { processesContract } from './processes.contract.ts';
import { runDirectoryContract } from './run-directory.contract.ts';
import { transportContract } from './transport.contract.ts';

const machine: Machine = {
  platform: createPlatform(),
  exitWith: (code) => ['/bin/sh', '-c', `exit ${code}`],
  openHandles: () => readdirSync('/dev/fd').length,
  published: 'rpc.sock',
  words: {
    noSuchFile: 'no such file or directory',
    noSuchFolder: 'no such file or directory',
    notFoundInPath: '$PATH',
    statOperation: 'stat',
  },
};

processesContract(machine);
transportContract(machine);
runDirectoryContract(machine);
