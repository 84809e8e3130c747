/**
 * Runs one program to its end and returns what it printed: no shell, a group of its own, bounded in time and in output.
 * For helpers such as git; agent processes belong to src/engine/local.
 */
import { SystemCallError } from '../../platform/errors.ts';
import type { Child, ExitStatus, OutputName, Processes } from '../../platform/processes.ts';
import { signalText } from '../../platform/signal-texts.ts';
import type { Variable } from '../../platform/started-with.ts';

export interface CommandRequest {
  /** A name without separator is looked up in the daemon's own PATH. */
  readonly command: string;
  readonly args: readonly string[];
  /** `undefined`: the daemon's own working directory. */
  readonly cwd: string | undefined;
  readonly env: readonly Variable[];
  /** Written to standard input; without it standard input is at its end from the start. */
  readonly input?: Buffer;
  /** After so long the whole group is killed. 0 or `undefined`: no limit. */
  readonly timeoutMs?: number;
  /** At the limit the group is asked to end with TERM, and killed only this much later. */
  readonly terminateGraceMs?: number;
  /**
   * How long something the program started may keep its output open after the program's own end. `undefined`: for good.
   */
  readonly outputGraceMs?: number;
  /** What happens then to whoever holds the output: `kill` (the default), or `leave`, which only stops reading. */
  readonly outputHolders?: 'kill' | 'leave';
  /** Ends the whole group at once, at any time. */
  readonly signal?: AbortSignal;
  /** For each of the two outputs. A program that prints more is killed and its result has `overflowed`. */
  readonly maxOutputBytes: number;
}

export interface CommandResult {
  /** `undefined` when the program was never started. */
  readonly exit: ExitStatus | undefined;
  /** `undefined` for exit status 0; else `exit status 128`, `signal: killed`, or why it could not be started. */
  readonly failure: string | undefined;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Both outputs in the order in which they were read. */
  readonly combined: Buffer;
  readonly timedOut: boolean;
  readonly overflowed: boolean;
  /** Errno name of a start that failed; `undefined` for a program that ran. */
  readonly startFailure: string | undefined;
}

const chunkBytes = 65_536;
/**
 * A process may have left the group before it was killed and may still hold the pipes, so the wait for their end is
 * limited.
 */
const graceAfterKillMs = 5_000;

/** Never rejects: every failure is in the result. */
export function runCommand(processes: Processes, request: CommandRequest): Promise<CommandResult> {
  return new Promise((resolve) => new Run(processes, request, resolve));
}

class Run {
  readonly #request: CommandRequest;
  readonly #resolve: (result: CommandResult) => void;
  readonly #chunks: { readonly from: OutputName; readonly bytes: Buffer }[] = [];
  readonly #sizes: Record<OutputName, number> = { stdout: 0, stderr: 0 };
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #onAbort = () => this.#kill();
  #child: Child | undefined;
  #openOutputs = 2;
  #ended = false;
  #timedOut = false;
  #overflowed = false;
  #done = false;

  constructor(processes: Processes, request: CommandRequest, resolve: (result: CommandResult) => void) {
    this.#request = request;
    this.#resolve = resolve;
    try {
      this.#child = processes.spawn({
        command: request.command,
        args: request.args,
        cwd: request.cwd,
        env: request.env,
        maxChunkBytes: chunkBytes,
        onOutput: (from, bytes) => this.#keep(from, bytes),
        onOutputEnd: () => {
          this.#openOutputs--;
          this.#finishWhenOver();
        },
        onEnd: () => this.#onEnd(),
      });
    } catch (error) {
      const { message } = error as Error;
      const code = error instanceof SystemCallError ? error.code : ((error as NodeJS.ErrnoException).code ?? '');
      this.#done = true;
      resolve(this.#result(undefined, message, code));
      return;
    }
    if (request.input === undefined) {
      this.#child.closeInput();
    } else {
      this.#child.writeInput(request.input, () => this.#child?.closeInput());
    }
    if (request.timeoutMs !== undefined && request.timeoutMs > 0) {
      this.#after(request.timeoutMs, () => this.#expire());
    }
    request.signal?.addEventListener('abort', this.#onAbort);
  }

  #keep(from: OutputName, bytes: Buffer): boolean {
    if (this.#overflowed) {
      return true;
    }
    this.#sizes[from] += bytes.length;
    if (this.#sizes[from] > this.#request.maxOutputBytes) {
      this.#overflowed = true;
      this.#kill();
    } else {
      // The buffer is reused after this call, so the bytes are copied.
      this.#chunks.push({ from, bytes: Buffer.from(bytes) });
    }
    return true;
  }

  #expire(): void {
    // The program itself ended in time, and what it left behind must not be touched: only the grace for its output
    // counts.
    if (this.#done || (this.#ended && this.#request.outputHolders === 'leave')) {
      return;
    }
    this.#timedOut = true;
    if (this.#request.terminateGraceMs === undefined) {
      this.#kill();
      return;
    }
    this.#child?.signal('TERM', 'tree');
    this.#after(this.#request.terminateGraceMs, () => this.#kill());
  }

  #kill(): void {
    this.#child?.signal('KILL', 'tree');
    this.#after(graceAfterKillMs, () => this.#child?.closeOutput());
  }

  #onEnd(): void {
    this.#ended = true;
    const { outputGraceMs } = this.#request;
    if (outputGraceMs !== undefined && this.#openOutputs > 0) {
      this.#after(outputGraceMs, () => {
        // The pid is still ours until `collect`, so the group cannot be a stranger's.
        if (this.#request.outputHolders !== 'leave') {
          this.#child?.signal('KILL', 'tree');
        }
        this.#child?.closeOutput();
      });
    }
    this.#finishWhenOver();
  }

  #finishWhenOver(): void {
    if (this.#done || !this.#ended || this.#openOutputs > 0 || this.#child === undefined) {
      return;
    }
    this.#done = true;
    for (const timer of this.#timers) {
      clearTimeout(timer);
    }
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
    this.#child.closeInput();
    const exit = this.#child.collect();
    this.#resolve(this.#result(exit, failureText(exit), undefined));
  }

  #after(ms: number, work: () => void): void {
    // setTimeout takes 31 bits of milliseconds. A longer limit is 24 days or more, which is as good as none.
    if (ms > 0x7fffffff) {
      return;
    }
    this.#timers.add(setTimeout(work, ms));
  }

  #result(exit: ExitStatus | undefined, failure: string | undefined, startFailure: string | undefined): CommandResult {
    const chunks = this.#chunks;
    const of = (name: OutputName) =>
      Buffer.concat(chunks.filter(({ from }) => from === name).map(({ bytes }) => bytes));
    return {
      exit,
      failure,
      startFailure,
      stdout: of('stdout'),
      stderr: of('stderr'),
      get combined() {
        return Buffer.concat(chunks.map(({ bytes }) => bytes));
      },
      timedOut: this.#timedOut,
      overflowed: this.#overflowed,
    };
  }
}

/** Go's words for how a process ended (spec git.md §2.1). */
function failureText(exit: ExitStatus): string | undefined {
  if (exit.signal !== undefined) {
    return `signal: ${signalText(exit.signal)}`;
  }
  return exit.code === 0 ? undefined : `exit status ${exit.code}`;
}
