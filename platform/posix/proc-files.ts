/**
 * Whether the kernel shows its processes and our descriptors as files (Linux, below /proc). The files themselves are tried: a
 * sandbox may refuse to answer the calls that ask whether a file can be used, and serve the file all the same.
 */
import { closeSync, openSync } from 'node:fs';

const ownStat = '/proc/self/stat';
const ownDescriptors = '/proc/self/fd';

/** Whether a path can go through one of our descriptors. */
export const hasProc: boolean = failureOf(ownDescriptors) === undefined;

/** Why nobody can tell who a process is; `undefined`: one can. Linux only. */
export function whyNoIdentity(): string | undefined {
  return shown(ownStat);
}

/** Why the processes of this host cannot be seen, once none was found. Linux only. */
export function whyNoProcesses(): string {
  return shown(ownStat) ?? shown('/proc') ?? '/proc cannot be listed';
}

function shown(path: string): string | undefined {
  const code = failureOf(path);
  if (code === undefined) {
    return undefined;
  }
  return code === 'ENOENT' ? '/proc is not mounted' : `${path} cannot be read (${code})`;
}

function failureOf(path: string): string | undefined {
  try {
    closeSync(openSync(path, 'r'));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
