/** A running child: its pid, its streams, its end. */
import type { ChildMarks } from '../child-markers.ts';
import type { Child, ExitStatus, OutputName, SignalName, SignalReach, SpawnRequest } from '../processes.ts';
import { ChildStreams, type OurEnds, type StreamEvents } from './child-streams.ts';
import { collectExit, hasEnded, watchExit } from './exits.ts';
import type { Identities, KnownStart } from './identity.ts';

/** What has been started. */
export interface StartedChild {
  readonly pid: number;
  /** `undefined`: to be asked of the system. */
  readonly start: KnownStart | undefined;
  /** Of a child that was to be marked. */
  readonly marks: ChildMarks | undefined;
  readonly ours: OurEnds | undefined;
}

export class PosixChild implements Child {
  readonly pid: number;
  readonly marks: ChildMarks | undefined;
  readonly #identities: Identities;
  readonly #streams: ChildStreams;
  #start: KnownStart | undefined;
  #status: ExitStatus | undefined;

  constructor(
    { pid, start, marks, ours }: StartedChild,
    identities: Identities,
    request: StreamEvents & Pick<SpawnRequest, 'onEnd'>,
  ) {
    this.pid = pid;
    this.#start = start;
    this.marks = marks;
    this.#identities = identities;
    this.#streams = new ChildStreams(ours, request);
    watchExit(pid, request.onEnd);
  }

  /**
   * Where it is not known, it is read when first asked for, at the latest before the child is collected: until then the pid is
   * its own. Right after the start the kernel would have us wait for the end of `execve`.
   */
  get startTime(): number {
    return this.#started().seconds;
  }

  get start(): string | undefined {
    return hasEnded(this.pid) ? '' : this.#started().start;
  }

  #started(): KnownStart {
    this.#start ??= this.#identities.startOf(this.pid);
    return this.#start;
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

  signal(name: SignalName, reach: SignalReach): string | undefined {
    if (this.#status !== undefined) {
      return undefined;
    }
    try {
      process.kill(reach === 'tree' ? -this.pid : this.pid, `SIG${name}`);
      return undefined;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // EPERM: macOS says so for a group of zombies.
      return code === 'ESRCH' || code === 'EPERM' ? undefined : `kill: ${code}`;
    }
  }

  collect(): ExitStatus {
    if (this.#status === undefined) {
      void this.startTime;
      this.#status = collectExit(this.pid) ?? { code: -1, signal: undefined };
    }
    return this.#status;
  }
}
