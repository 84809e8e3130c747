/** What is tested before a child is started, which file is run, and the texts of it (spec process.md §3.3-3.4, platform.md §3). */
import { statSync } from 'node:fs';
import { win32 } from 'node:path';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { SpawnRequest } from '../processes.ts';
import { batchCommandLine, isBatchFile, joinWords, maxBatchLineUnits } from './command-line.ts';
import { findProgram, isFile } from './program-search.ts';

export type ProgramRequest = Pick<SpawnRequest, 'command' | 'args' | 'cwd' | 'env'>;

/** What CreateProcess is given. */
export interface Program {
  readonly file: string;
  readonly commandLine: string;
}

/**
 * Tests in the contract's order: `cwd`, then the command, then the environment, then the arguments.
 * @throws SystemCallError with the contract's text
 */
export function checkSpawn(request: ProgramRequest, paths: Paths): Program {
  if (request.cwd !== undefined) {
    checkDirectory(request.cwd, paths);
  }
  const file = findProgram(request, process.env, (file) => isFile(file));
  if (request.env.some(([name, value]) => name.includes('\0') || value.includes('\0'))) {
    throw new SystemCallError('exec: environment variable contains NUL', 'EINVAL');
  }
  const invalid = () => new SystemCallError(`fork/exec ${file}: ${paths.reasonForCode('EINVAL')}`, 'EINVAL');
  if (file.includes('\0') || request.args.some((word) => word.includes('\0'))) {
    throw invalid();
  }
  if (!isBatchFile(file)) {
    return { file, commandLine: joinWords([request.command, ...request.args]) };
  }
  const interpreter = commandInterpreter();
  const commandLine = batchCommandLine(interpreter, file, request.args);
  if (commandLine === undefined) {
    throw invalid();
  }
  if (commandLine.length > maxBatchLineUnits) {
    throw new SystemCallError(
      `fork/exec ${file}: the command line has ${commandLine.length} characters, and cmd.exe, which runs batch files, takes ${maxBatchLineUnits} at most; pass less, or start the program itself`,
      'E2BIG',
    );
  }
  return { file: interpreter, commandLine };
}

function checkDirectory(path: string, paths: Paths): void {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    throw new SystemCallError(
      `chdir ${path}: CreateFile ${path}: ${paths.reason(error)}`,
      (error as NodeJS.ErrnoException).code ?? '',
      { cause: error },
    );
  }
  // This one is not the system's sentence: the test is the daemon's own, as on POSIX.
  if (!isDirectory) {
    throw new SystemCallError(`chdir ${path}: not a directory`, 'ENOTDIR');
  }
}

/** By its full path: a `cmd.exe` that lies in a repository must not be the one that is run. */
function commandInterpreter(): string {
  return win32.join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', 'cmd.exe');
}
