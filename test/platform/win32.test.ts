/** The contracts on Windows (under Wine: test/windows/run.sh). */
import { createPlatform } from '../../platform/win32/index.ts';
import { countHandles } from '../windows/handle-count.ts';
import type { Machine } from './machine.ts';
import { processesContract } from './processes.contract.ts';
import { runDirectoryContract } from './run-directory.contract.ts';
import { transportContract } from './transport.contract.ts';

const machine: Machine = {
  platform: createPlatform(),
  exitWith: (code) => ['cmd.exe', '/d', '/c', `exit ${code}`],
  openHandles: countHandles,
  published: 'rpc.pipe',
  words: {
    noSuchFile: 'The system cannot find the file specified.',
    noSuchFolder: 'The system cannot find the path specified.',
    notFoundInPath: '%PATH%',
    statOperation: 'CreateFile',
  },
};

processesContract(machine);
transportContract(machine);
runDirectoryContract(machine);
