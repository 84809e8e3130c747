/** What is tested before a child is started, and the texts of it (spec process.md §3.3 to 3.4). */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { assertExecutable } from '../common/executable-file.ts';
import { SystemCallError } from '../errors.ts';
import { goQuote } from '../go-quote.ts';
import type { Paths } from '../paths.ts';
import type { Processes, SpawnRequest } from '../processes.ts';
import { rawPath } from '../raw-text.ts';
import { ownVariable } from './started-with.ts';

/**
 * Tests in the contract's order: `cwd`, then the command, then the environment, then the arguments.
 * @returns the file to execute
 * @throws SystemCallError with the contract's text
 */
export function checkSpawn(request: Pick<SpawnRequest, 'command' | 'args' | 'cwd' | 'env'>, paths: Paths): string {
  if (request.cwd !== undefined) {
    checkDirectory(request.cwd, paths);
  }
  const file = request.command.includes('/') ? request.command : search(request.command);
  if (request.env.some(([name, value]) => name.includes('\0') || value.includes('\0'))) {
    throw new SystemCallError('exec: environment variable contains NUL', 'EINVAL');
  }
  // A C string ends at its first NUL byte, so the kernel would get a shorter text without anybody noticing.
  if (file.includes('\0') || request.args.some((word) => word.includes('\0'))) {
    throw new SystemCallError(`fork/exec ${file}: ${paths.reasonForCode('EINVAL')}`, 'EINVAL');
  }
  return file;
}

/** One look at `file`, in the words of a start. @throws SystemCallError */
export function checkProgram(
  file: string,
  command: string,
  wanted: Parameters<Processes['check']>[1],
  paths: Paths,
): void {
  try {
    const found = statSync(rawPath(file));
    if (wanted === 'isExecutable') {
      if (found.isDirectory()) {
        throw Object.assign(new Error('a directory'), { code: 'EACCES' });
      }
      assertExecutable(rawPath(file), found);
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new SystemCallError(`fork/exec ${command}: ${paths.reason(error)}`, code, { cause: error });
  }
}

function checkDirectory(path: string, paths: Paths): void {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    throw new SystemCallError(
      `chdir ${path}: stat ${path}: ${paths.reason(error)}`,
      (error as NodeJS.ErrnoException).code ?? '',
      { cause: error },
    );
  }
  if (!isDirectory) {
    throw new SystemCallError(`chdir ${path}: ${paths.reasonForCode('ENOTDIR')}`, 'ENOTDIR');
  }
}

/** PATH_MAX. */
const longestName = 4096;

/** Looks a bare name up in the daemon's own PATH, as Go's exec.LookPath does: an empty element is the current folder. */
function search(name: string): string {
  const path = ownVariable('PATH') ?? '';
  // No file has a name so long, and putting it behind each folder would be dear.
  const folders = path === '' || name.length > longestName ? [] : path.split(':');
  for (const folder of folders) {
    const file = join(folder === '' ? '.' : folder, name);
    if (!isExecutable(file)) {
      continue;
    }
    if (file.startsWith('/')) {
      return file;
    }
    throw new SystemCallError(
      `exec: ${goQuote(name)}: cannot run executable found relative to current directory`,
      'EACCES',
    );
  }
  throw new SystemCallError(`exec: ${goQuote(name)}: executable file not found in $PATH`, 'ENOENT');
}

function isExecutable(file: string): boolean {
  try {
    const found = statSync(rawPath(file));
    if (found.isDirectory()) {
      return false;
    }
    assertExecutable(rawPath(file), found);
    return true;
  } catch {
    return false;
  }
}
