/** Which C library this host has: `glibc`, `musl`, or empty off Linux (spec install.md §7). */
import { readdir } from 'node:fs/promises';
import type { Platform } from '../../platform/platform.ts';
import type { Variable } from '../../platform/started-with.ts';
import { runCommand } from '../base/run-command.ts';
import type { InstallTimings } from './timings.ts';

export interface LibcProbeOptions {
  readonly platform: Platform;
  readonly env: readonly Variable[];
  readonly timings: InstallTimings;
  /** The folder of musl's loader, which tests replace; `undefined`: this system has only one C library. */
  readonly loaderFolder?: string | undefined;
}

/** `ldd --version` prints a screenful. */
const maxOutputBytes = 1 << 20;

export async function probeLibc({
  platform,
  env,
  timings,
  loaderFolder = platform.host.muslFolder,
}: LibcProbeOptions): Promise<string> {
  if (loaderFolder === undefined) {
    return '';
  }
  // The ldd of musl exits with 1 and prints its name on stderr.
  const { combined, timedOut } = await runCommand(platform.processes, {
    command: 'ldd',
    args: ['--version'],
    cwd: undefined,
    env,
    timeoutMs: timings.libcMs,
    outputGraceMs: timings.libcHolderMs,
    outputHolders: 'leave',
    maxOutputBytes,
  });
  const output = timedOut ? '' : combined.toString('latin1');
  if (output !== '') {
    return /musl/i.test(output) ? 'musl' : 'glibc';
  }
  const names = await readdir(loaderFolder).catch(() => []);
  return names.some((name) => /^ld-musl-.*\.so\..*$/s.test(name)) ? 'musl' : 'glibc';
}
