import { chmod, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import { entryAt } from '../run/control-files.ts';
import { notRun } from '../run/git-program.ts';
import { codeOf } from './held-folders.ts';

/**
 * A lock of the repository cannot be had: git meets the same among our own files, and says so in its own words.
 * @param error why it cannot be had
 * @param ours the file for which git will want a lock
 * @param call runs git
 * @returns a failure in any case
 */
export async function meeting(
  error: unknown,
  ours: string,
  call: () => Promise<CommandResult>,
): Promise<CommandResult> {
  switch (codeOf(error)) {
    case 'EEXIST':
      await writeFile(`${ours}.lock`, '');
      return asFailure(await call());
    case 'EACCES':
    case 'EPERM':
      return asFailure(await withoutWriting(ours, call));
    // A branch is in the place of a folder.
    case 'EISFILE':
      return asFailure(await call());
    default:
      return notRun((error as Error).message);
  }
}

function asFailure(result: CommandResult): CommandResult {
  return result.failure === undefined ? notRun('the repository could not be locked') : result;
}

async function withoutWriting(ours: string, call: () => Promise<CommandResult>): Promise<CommandResult> {
  let folder = dirname(ours);
  while ((await entryAt(folder)) === undefined) {
    folder = dirname(folder);
  }
  await chmod(folder, 0o500);
  try {
    return await call();
  } finally {
    await chmod(folder, 0o700);
  }
}
