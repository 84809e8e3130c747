/** A running child: its process handle, its job, its end. */
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { Child, ExitStatus, OutputName, SignalName, SignalReach, SpawnRequest } from '../processes.ts';
import type { Streams } from './child-streams.ts';
import { startSeconds } from './identity.ts';
import { killedExitCode } from './job.ts';
import type { ChildProcess } from './launch-in-job.ts';
import { lastError } from './system-errors.ts';
import { whenSignalled } from './wait.ts';

export class WindowsChild implements Child {
  readonly pid: number;
  readonly startTime: number;
  readonly warning: string | undefined;
  readonly #process: Handle;
  #job: Handle | undefined;
  readonly #keepsReach: boolean;
  readonly #streams: Streams;
  readonly #gentleScope: SignalReach | undefined;
  #status: ExitStatus | undefined;

  /** @throws WindowsError when the child cannot be watched; it is ended then */
  constructor(
    started: ChildProcess,
    streams: Streams,
    request: Pick<SpawnRequest, 'gentleScope' | 'keepsReach' | 'onEnd'>,
  ) {
    this.pid = started.pid;
    this.startTime = startSeconds(started.process);
    this.warning = started.warning;
    this.#process = started.process;
    this.#job = started.job;
    this.#streams = streams;
    this.#gentleScope = request.gentleScope;
    this.#keepsReach = request.keepsReach === true;
    try {
      // The open handle keeps the pid ours until `collect`.
      whenSignalled(started.process, () => request.onEnd());
    } catch (error) {
      this.signal('KILL', 'tree');
      this.collect();
      throw error;
    }
  }

  writeInput(bytes: Buffer, done: () => void): void {
    this.#streams.writeInput(bytes, done);
  }

  closeInput(): void {
    this.#streams.closeInput();
  }

  resume(stream: OutputName): void {
    this.#streams.resume(stream);
  }

  closeOutput(): void {
    this.#streams.closeOutput();
  }

  /**
   * Windows has no signals: every name ends its target at once with exit code 1 (spec process.md §6). Console events
   * are no help: they go to a console and not to a process, and the child's console is not ours.
   */
  signal(name: SignalName, reach: SignalReach): string | undefined {
    if (this.#status !== undefined) {
      return undefined;
    }
    const scope = name === 'KILL' ? reach : (this.#gentleScope ?? reach);
    if (scope === 'tree' && this.#job !== undefined) {
      return kernel32.TerminateJobObject(this.#job, killedExitCode)
        ? undefined
        : lastError('TerminateJobObject').message;
    }
    // Asked of a process that has ended, TerminateProcess reports a missing right.
    if (kernel32.WaitForSingleObject(this.#process, 0) === kernel32.WAIT_OBJECT_0) {
      return undefined;
    }
    return kernel32.TerminateProcess(this.#process, killedExitCode) ? undefined : lastError('TerminateProcess').message;
  }

  collect(): ExitStatus {
    if (this.#status !== undefined) {
      return this.#status;
    }
    const code: Out<number> = [0];
    kernel32.GetExitCodeProcess(this.#process, code);
    const status: ExitStatus = { code: code[0], signal: undefined };
    this.#status = status;
    kernel32.CloseHandle(this.#process);
    if (!this.#keepsReach) {
      this.letGo();
    }
    return status;
  }

  endLeft(): void {
    if (this.#status !== undefined && this.#job !== undefined) {
      kernel32.TerminateJobObject(this.#job, killedExitCode);
    }
  }

  /** What the child has left behind stays in our own job and so ends with us. */
  letGo(): void {
    if (this.#status !== undefined && this.#job !== undefined) {
      kernel32.CloseHandle(this.#job);
      this.#job = undefined;
    }
  }
}
