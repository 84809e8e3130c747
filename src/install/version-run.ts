/** `<cli> --version`, the proof that a CLI runs on this host (spec install.md §6, modes.md §12). */
import { resolve } from 'node:path';
import type { Platform } from '../../platform/platform.ts';
import type { Child, ExitStatus } from '../../platform/processes.ts';
import type { Variable } from '../../platform/started-with.ts';

export interface VersionRunOptions {
  readonly platform: Platform;
  readonly env: readonly Variable[];
  /** Counted from just before the start. Then the run is killed, on some systems with what it has started (`Host.hungRunReach`). */
  readonly boundMs: number;
  /** How long a killed run is waited for. */
  readonly killedMs: number;
  /** Gets the reason when the CLI could not be started, for the log. */
  onNotStarted?(error: Error): void;
}

/** `failed`: the CLI did not start, or ended with another status than 0. `stopped`: it did not end in time. */
export type VersionRunOutcome = 'passed' | 'failed' | 'stopped';

/** The output is not read, and a process that the CLI leaves running delays nothing. */
export function runVersion(cli: string, { platform, ...options }: VersionRunOptions): Promise<VersionRunOutcome> {
  return new Promise((done) => {
    let child: Child | undefined;
    let stopped = false;
    let patience: NodeJS.Timeout | undefined;
    const bound = setTimeout(() => {
      stopped = true;
      child?.signal('KILL', platform.host.hungRunReach);
      // The kernel may never let the process end (a stalled network home); then we go on without it.
      patience = setTimeout(() => done('stopped'), options.killedMs);
    }, options.boundMs);
    const settle = (exit: ExitStatus | undefined): void => {
      clearTimeout(bound);
      clearTimeout(patience);
      const passed = exit?.code === 0 && exit.signal === undefined;
      done(stopped ? 'stopped' : passed ? 'passed' : 'failed');
    };
    try {
      child = platform.processes.spawn({
        // A path with a separator is not searched for in PATH, where another program of that name may be.
        command: resolve(cli),
        args: ['--version'],
        cwd: undefined,
        env: options.env,
        streams: 'nullDevice',
        outlivesUs: true,
        maxChunkBytes: 1,
        onOutput: () => true,
        onOutputEnd() {},
        onEnd: () => settle(child?.collect()),
      });
    } catch (error) {
      options.onNotStarted?.(error as Error);
      settle(undefined);
    }
  });
}
