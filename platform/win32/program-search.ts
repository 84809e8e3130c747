/** Which file a command names. How files are looked at can be replaced, so it is tested on every system. */
import { lstatSync, statSync } from 'node:fs';
import { win32 } from 'node:path';
import { SystemCallError } from '../errors.ts';
import { goQuote } from '../go-quote.ts';
import type { SpawnRequest } from '../processes.ts';

/** Of the daemon's own environment. */
export interface SearchedVariables {
  readonly PATH?: string | undefined;
  readonly PATHEXT?: string | undefined;
}

/**
 * A bare name is looked up in the daemon's own PATH, with the endings of PATHEXT; the current folder is not searched.
 * Anything else is used as it is; a relative one counts from `cwd`, which CreateProcess would not do.
 */
export function findProgram(
  { command, cwd }: Pick<SpawnRequest, 'command' | 'cwd'>,
  { PATH: path, PATHEXT: pathExt }: SearchedVariables,
  isFile: (file: string) => boolean,
): string {
  const known = (file: string) => withKnownEnding(file, pathExt, isFile);
  const isPath = /[\\/:]/.test(command);
  if (isPath) {
    const file = cwd === undefined || win32.isAbsolute(command) ? command : win32.resolve(cwd, command);
    return known(file) ?? file;
  }
  for (const folder of (path ?? '').split(';')) {
    const unquoted = folder.replace(/^"(.*)"$/, '$1');
    // Relative folders would make the answer depend on where the daemon was started.
    if (!win32.isAbsolute(unquoted)) {
      continue;
    }
    const found = known(win32.join(unquoted, command));
    if (found !== undefined) {
      return found;
    }
  }
  throw new SystemCallError(`exec: ${goQuote(command)}: executable file not found in %PATH%`, 'ENOENT');
}

/** The file itself when it has an ending, else with the first of PATHEXT that exists. */
function withKnownEnding(
  file: string,
  pathExt: string | undefined,
  isFile: (file: string) => boolean,
): string | undefined {
  if (file.includes('\0')) {
    return undefined;
  }
  const endings = knownEndings(pathExt);
  const hasEnding = win32.basename(file).includes('.');
  const candidates = [...(hasEnding ? [file] : []), ...endings.map((ending) => file + ending)];
  return candidates.find(isFile);
}

function knownEndings(pathExt: string | undefined): string[] {
  const endings = (pathExt ?? '').toLowerCase().split(';').filter(Boolean);
  if (endings.length === 0) {
    return ['.com', '.exe', '.bat', '.cmd'];
  }
  return endings.map((ending) => (ending.startsWith('.') ? ending : `.${ending}`));
}

/** How a file is looked at: through an alias or a link, and as the entry it is. Both throw Node's error. */
interface Look {
  stat(file: string): { isDirectory(): boolean };
  lstat(file: string): { isDirectory(): boolean };
}

/** An app execution alias can be started but not opened, so `stat` is refused: what is there is enough then. */
export function isFile(file: string, { stat, lstat }: Look = { stat: statSync, lstat: lstatSync }): boolean {
  try {
    return !stat(file).isDirectory();
  } catch (error) {
    return !isMissing(error) && entryIsFile(file, lstat);
  }
}

function entryIsFile(file: string, lstat: Look['lstat']): boolean {
  try {
    return !lstat(file).isDirectory();
  } catch {
    return false;
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
