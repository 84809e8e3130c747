/**
 * A spawn through the managed launcher (spec generation-n2.md §4): `<launcher...> <command> <args...>`. The launcher is the
 * process, with its pid, streams and end; what it does with the command is its business.
 */
import type { SessionPlatform } from '../../../platform/platform.ts';
import { launcherFault, launcherStartFault } from '../../base/launcher-argv.ts';
import { LauncherFailure } from '../failures.ts';

export interface LauncherStart {
  readonly launcher: readonly string[];
  readonly command: string;
  /** Expanded; `undefined`: the daemon's own. */
  readonly cwd: string | undefined;
}

/**
 * The tests before anything is ended or started, in the contract's order.
 * @throws LauncherFailure, or SystemCallError for the folder and the command
 */
export function checkLauncherStart({ launcher, command, cwd }: LauncherStart, platform: SessionPlatform): void {
  const { paths, host, processes } = platform;
  if (host.managedSettingsFolder === undefined) {
    throw LauncherFailure.unusable('a launcher cannot be applied on a Windows host');
  }
  if (!paths.isAbsolute(command)) {
    throw new LauncherFailure('relativeCommand', 'command must be an absolute path when a launcher is given');
  }
  const fault = launcherFault(launcher, command, paths);
  if (fault !== undefined) {
    throw LauncherFailure.unusable(fault);
  }
  processes.check({ command, cwd }, 'isExecutable');
}

/** argv of the launcher. */
export function wordsThroughLauncher(
  [argv0 = '', ...rest]: readonly string[],
  command: string,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  return { command: argv0, args: [...rest, command, ...args] };
}

/** What to throw for a launcher that did not start; failures of another kind stay as they are. */
export function launcherNotStarted(argv0: string, error: unknown): unknown {
  const reason = launcherStartFault(argv0, error);
  return reason === undefined
    ? error
    : new LauncherFailure('notStarted', `the managed launcher ${argv0} could not be started: ${reason}`, {
        cause: error,
      });
}
