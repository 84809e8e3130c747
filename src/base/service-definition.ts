/** The file in which a service manager finds what it is to start: written whole, and touched only where it is ours. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Platform } from '../../platform/platform.ts';
import type { ServiceManager } from '../../platform/service-manager.ts';
import { type CommandResult, runCommand } from './run-command.ts';

const commandMs = 60_000;
const maxOutputBytes = 65_536;

/** Whole or not at all. @param mode whatever the umask says @throws Node's error */
export function writeDefinition(path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const fd = openSync(temporary, 'wx', mode);
    try {
      fchmodSync(fd, mode);
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Whether something is at the path that we have not written. @throws Node's error */
export function isForeignDefinition(path: string, { mark }: Pick<ServiceManager, 'mark'>): boolean {
  return existsSync(path) && !readFileSync(path, 'utf8').includes(mark);
}

/** Runs one of the manager's commands to its end. */
export function runManagerCommand(
  [command = '', ...args]: readonly string[],
  { processes }: Pick<Platform, 'processes'>,
  environment: NodeJS.ProcessEnv,
): Promise<CommandResult> {
  const env = Object.entries(environment).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  );
  return runCommand(processes, { command, args, cwd: undefined, env, timeoutMs: commandMs, maxOutputBytes });
}

/** A word as a POSIX shell reads it. */
export function forShell(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
