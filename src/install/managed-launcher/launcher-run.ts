/** `<launcher...> <cli> --version`: does the CLI run here the way the administrator wants it started (spec generation-n2.md §6)? */
import type { Platform } from '../../../platform/platform.ts';
import type { Child } from '../../../platform/processes.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { messageOf } from '../../base/error-texts.ts';
import { launcherStartFault } from '../../base/launcher-argv.ts';

export interface LauncherRunOptions {
  readonly platform: Platform;
  readonly env: readonly Variable[];
  /** Counted from just before the start. Then the run's group is killed. */
  readonly boundMs: number;
  /** How long the run's stderr is waited for after its end, or after it was killed. */
  readonly outputMs: number;
}

export interface LauncherRun {
  /** `failed`: it did not start, ended with another status than 0, or by a signal. `stopped`: it did not end in time. */
  readonly outcome: 'passed' | 'failed' | 'stopped';
  /** `undefined` when it passed. */
  readonly reason: string | undefined;
  /** The first bytes of what it wrote to stderr, with a note of how many more there were; empty when it wrote nothing. */
  readonly stderr: Buffer;
}

const mostStderr = 8192;

/** Standard output is read and dropped, standard input is at its end. */
export function runThroughLauncher(
  argv: readonly string[],
  cli: string,
  { platform, ...options }: LauncherRunOptions,
): Promise<LauncherRun> {
  return new Promise((done) => {
    const [command = '', ...rest] = argv;
    const stderr = new CappedText(mostStderr);
    let child: Child | undefined;
    let hasEnded = false;
    let openOutputs = 2;
    let stopped = false;
    let patience: NodeJS.Timeout | undefined;

    const finish = (): void => {
      clearTimeout(bound);
      clearTimeout(patience);
      child?.closeOutput();
      done({ ...verdict(), stderr: stderr.shown() });
    };
    const verdict = (): Pick<LauncherRun, 'outcome' | 'reason'> => {
      const exit = hasEnded ? child?.collect() : undefined;
      if (stopped) {
        return { outcome: 'stopped', reason: `did not exit within ${options.boundMs / 1000}s and was stopped` };
      }
      if (exit?.signal !== undefined) {
        return { outcome: 'failed', reason: `terminated by ${exit.signal}` };
      }
      return exit?.code === 0
        ? { outcome: 'passed', reason: undefined }
        : { outcome: 'failed', reason: `exit status ${exit?.code}` };
    };
    const finishWhenOver = (): void => {
      if (hasEnded && openOutputs === 0) {
        finish();
      } else if (hasEnded && patience === undefined) {
        // What the run has left behind may hold its output open for good.
        patience = setTimeout(finish, options.outputMs);
      }
    };
    const bound = setTimeout(() => {
      if (hasEnded) {
        return;
      }
      stopped = true;
      child?.signal('KILL', 'tree');
      // The kernel may never let the process end (a stalled network home); then we go on without it.
      patience = setTimeout(finish, options.outputMs);
    }, options.boundMs);

    try {
      child = platform.processes.spawn({
        command,
        args: [...rest, cli, '--version'],
        cwd: undefined,
        env: options.env,
        maxChunkBytes: 65_536,
        onOutput(stream, bytes) {
          if (stream === 'stderr') {
            stderr.add(bytes);
          }
          return true;
        },
        onOutputEnd() {
          openOutputs--;
          finishWhenOver();
        },
        onEnd() {
          hasEnded = true;
          finishWhenOver();
        },
      });
      child.closeInput();
    } catch (error) {
      clearTimeout(bound);
      const reason = `could not be started: ${launcherStartFault(command, error) ?? messageOf(error)}`;
      done({ outcome: 'failed', reason, stderr: Buffer.alloc(0) });
    }
  });
}

class CappedText {
  readonly #most: number;
  readonly #kept: Buffer[] = [];
  #length = 0;
  #dropped = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(bytes: Buffer): void {
    // The buffer is used again after this call, so the bytes are copied.
    const kept = Buffer.from(bytes.subarray(0, this.#most - this.#length));
    this.#kept.push(kept);
    this.#length += kept.length;
    this.#dropped += bytes.length - kept.length;
  }

  shown(): Buffer {
    const more = this.#dropped === 0 ? '' : `\n[\u2026 ${this.#dropped} more bytes]`;
    return Buffer.concat([...this.#kept, Buffer.from(more)]);
  }
}
