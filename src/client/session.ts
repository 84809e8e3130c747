/** One process of a daemon, over any number of connections: its output once and in order, its input once, its end. */
import type { SessionActivity, SessionInfo } from '../wire/extension-types.ts';
import { Attachment, type AttachReply, type Opening } from './attachment.ts';
import { requireExtensions } from './connection.ts';
import { type Deferred, defer } from './deferred.ts';
import { GapError, HoldfastError } from './errors.ts';
import type { ExitFrame, OutputFrame, PushedFrame } from './frame-reader.ts';
import type { DaemonFacts } from './handshake.ts';
import { InputLedger } from './input-ledger.ts';
import { type AfterCut, LinkLost } from './requests.ts';
import type { Exit, KillOptions, KillOutcome, SessionOptions } from './session-options.ts';
import { type SessionEvent, SessionOutput } from './session-output.ts';

/** What a session needs of the host it belongs to. */
export interface SessionHost {
  readonly facts: DaemonFacts;
  /** @param inOrder called with the result before the next frame is looked at */
  request(method: string, params: object, afterCut?: AfterCut, inOrder?: (result: unknown) => void): Promise<unknown>;
  /** Tells of bytes that wait for their consumer. */
  account(bytes: number): void;
  gap(gap: GapError): void;
  /** `holdfast.sessions` over this link; those who ask at the same time share one request. @throws LinkLost */
  list(): Promise<readonly SessionInfo[]>;
  /** The session is over for this host: no frame of it is wanted any more. */
  forget(session: Session): void;
}

/** So much of a replay comes before the reply without anybody being told that it comes. */
const earlyBytes = 1024 * 1024;
const defaultInputBytes = 16 * 1024 * 1024;

/** One process of the daemon and its streams, followed over any number of connections. */
export class Session implements AsyncDisposable {
  /** Its name at the daemon: whoever knows it can take the session over. */
  readonly id: string;
  /** Resolves with the exit frame, also when the output has not been read yet. Rejects when the process cannot be followed to its end. */
  readonly exit: Promise<Exit>;
  readonly #host: SessionHost;
  readonly #onGap: 'throw' | 'continue';
  readonly #output: SessionOutput;
  readonly #input: InputLedger;
  readonly #attachment: Attachment;
  readonly #exit: Deferred<Exit> = defer(false);
  readonly #opened: Deferred<void> = defer(false);
  /** Output that came before the first reply, in bytes. */
  #replayed = 0;
  #isOver = false;
  /** Number of the last frame taken; `undefined`: whichever comes first. */
  #lastSeq: number | undefined;
  #pid: number | undefined;
  #startTime: number | undefined;
  #activity: SessionActivity | undefined;
  #stdinApplied = 0;
  /** Known once the daemon has answered, which is behind the whole replay. */
  #toldSeq: number | undefined;
  readonly #answered: Deferred<void> = defer(false);

  constructor(host: SessionHost, id: string, opening: Opening, options: SessionOptions) {
    this.#host = host;
    this.id = id;
    this.#onGap = options.onGap ?? 'throw';
    this.#lastSeq = options.fromSeq;
    this.exit = this.#exit.promise;
    this.#attachment = new Attachment(id, host, opening, options.activity === true, {
      lastSeq: () => this.lastSeq,
      startAnew: () => {
        this.#lastSeq = 0;
      },
    });
    this.#output = new SessionOutput((bytes) => host.account(bytes));
    this.#input = new InputLedger(
      {
        input: async (data, offset, applied) => {
          await host.request('process.stdin', { id, data, offset }, 'link', (reply) =>
            applied((reply as { readonly applied: number }).applied),
          );
        },
        close: (offset) => this.#closeStdin(offset),
      },
      options.inputBufferBytes ?? defaultInputBytes,
    );
  }

  /** What the process writes to its standard output: each byte once and in order, across any number of cuts. */
  get stdout(): ReadableStream<Uint8Array> {
    return this.#output.stream('stdout');
  }

  /** As {@link stdout}. When nobody wants it, `cancel()` it: output that waits here holds the process back, like a full pipe. */
  get stderr(): ReadableStream<Uint8Array> {
    return this.#output.stream('stderr');
  }

  /** Instead of both streams: everything in order, with the numbers of the frames. */
  get events(): ReadableStream<SessionEvent> {
    return this.#output.events();
  }

  /**
   * The process as the operating system there knows it; `undefined` when the daemon does not tell (CT-1), and before the end of
   * a replay of more than 1 MiB.
   */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** Seconds since the epoch; belongs to `pid`, because pids are used again. */
  get startTime(): number | undefined {
    return this.#startTime;
  }

  /** Whether `spawn` found a session of this id and started nothing. */
  get existing(): boolean {
    return this.#attachment.existing;
  }

  /** What came and went last when the daemon answered; `undefined` when it was not asked for, or the daemon cannot tell. */
  get activity(): SessionActivity | undefined {
    return this.#activity;
  }

  /** The last frame there was when the daemon answered last; `undefined`: it has not answered yet. */
  get toldSeq(): number | undefined {
    return this.#toldSeq;
  }

  /** Resolves when the daemon has answered, or the session cannot be followed. */
  get answered(): Promise<void> {
    return this.#answered.promise;
  }

  /** Bytes of input that the process had been given when the daemon answered last. */
  get stdinApplied(): number {
    return this.#stdinApplied;
  }

  /** Number of the last frame received: `fromSeq` for who goes on later. */
  get lastSeq(): number {
    return this.#lastSeq ?? 0;
  }

  /** Resolves when the host has the bytes; they are applied exactly once. @throws HoldfastError `closed` */
  async write(data: string | Uint8Array): Promise<void> {
    this.#refuseObserver('write');
    await this.#input.write(asBuffer(data));
  }

  /**
   * The process's standard input as a stream, for pipes: a write resolves as soon as there is room, `close` is `end`.
   * Each access makes a new one.
   */
  get stdin(): WritableStream<string | Uint8Array> {
    this.#refuseObserver('stdin');
    return new WritableStream({
      write: async (chunk) => {
        await this.#input.accept(asBuffer(chunk));
      },
      close: () => this.end(),
    });
  }

  /** End of file for the process, behind everything that was written. @throws UnsupportedError at once */
  end(): Promise<void> {
    this.#refuseObserver('end');
    requireExtensions('end() of a session', this.#host.facts);
    return this.#input.close();
  }

  /** Sends a signal: `TERM` (default), `KILL`, `INT` or `HUP`. */
  async kill(signal?: string): Promise<void> {
    await this.#host.request('process.kill', { id: this.id, signal });
  }

  /** Sends a signal and waits for the end; forces it after a while. */
  async killAndWait(options: KillOptions = {}): Promise<KillOutcome> {
    return (await this.#host.request('process.killAndWait', { id: this.id, ...options })) as KillOutcome;
  }

  /** Ends the process and lets the daemon forget it with its output. @throws UnsupportedError */
  async release(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    requireExtensions('release() of a session', this.#host.facts);
    await this.#host.request('holdfast.release', { id: this.id, ...options });
  }

  /** Follows the process no longer and leaves it running; output from here on waits in the daemon's window. */
  async detach(): Promise<void> {
    if (!this.#isOver) {
      this.fail(new HoldfastError('closed', `session ${this.id} was detached; take it over with session(id)`));
      if (this.#attachment.isObserver) {
        await this.#host.request('holdfast.unobserve', { id: this.id }, 'link').catch(() => {});
      }
    }
  }

  /** As {@link detach}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.detach();
  }

  /** For the host: resolves when the daemon has answered for the first time. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** For the host: a link is there. */
  async linked(): Promise<void> {
    try {
      this.#adopt(await this.#attachment.open());
    } catch (error) {
      if (!(error instanceof LinkLost)) {
        this.fail(error as HoldfastError);
      } else if (this.#isOver) {
        // The whole session came in front of the reply that is lost.
        this.#input.fail(this.#noMoreInput());
        this.#opened.resolve();
      }
      // Else the next link tries again.
    }
  }

  /** For the host: the link has broken. */
  unlinked(): void {
    this.#attachment.linkBroke();
    this.#input.unlinked();
  }

  /** For the host: a frame of this process. */
  take(frame: OutputFrame | ExitFrame): void {
    if (this.#isOver || this.#isSeen(frame.seq)) {
      return;
    }
    if (frame.type === 'output') {
      this.#output.push({ type: frame.stream, seq: frame.seq, data: frame.data });
      this.#openEarly(frame.data.length);
      return;
    }
    const { seq, exitCode, signal, killedBy } = frame;
    this.#output.push({ type: 'exit', seq, exitCode, signal, killedBy });
    this.#finish();
    this.#tellExit(frame);
  }

  /**
   * The reply stands behind the replay, and a replay from the daemon's disk is larger than what may wait here: then its reader
   * gets to work before the reply is there.
   */
  #openEarly(bytes: number): void {
    if (this.#toldSeq === undefined && this.#replayed <= earlyBytes) {
      this.#replayed += bytes;
      if (this.#replayed > earlyBytes) {
        this.#opened.resolve();
      }
    }
  }

  /** For the host: an observer has fallen behind, and the daemon says which frames it will not get. */
  takeGap({ fields }: PushedFrame): void {
    const { to } = fields;
    if (typeof to === 'number' && !this.#isOver) {
      this.#miss(to + 1);
      this.#lastSeq = to;
    }
  }

  /** For the host: the session cannot be followed any more. */
  fail(error: HoldfastError): void {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#attachment.stop();
      this.#output.end(error);
      this.#input.fail(error);
      this.#exit.reject(error);
      this.#opened.reject(error);
      this.#answered.resolve();
      this.#host.forget(this);
    }
  }

  #noMoreInput(): HoldfastError {
    return new HoldfastError('closed', `session ${this.id} has ended; its process takes no more input`);
  }

  #finish(): void {
    this.#isOver = true;
    this.#attachment.stop();
    this.#output.end();
    if (this.#input.isLinked) {
      this.#input.fail(this.#noMoreInput());
    }
    // Else the exit frame was replayed, and the reply behind it says how much of the input was taken.
    this.#host.forget(this);
  }

  /** Whether the frame came before. Tells of frames that are missing in front of it. */
  #isSeen(seq: number): boolean {
    if (this.#lastSeq !== undefined && seq <= this.#lastSeq) {
      return true;
    }
    this.#miss(seq);
    this.#lastSeq = seq;
    return false;
  }

  /** The next frame will be `next`. */
  #miss(next: number): void {
    if (this.#lastSeq === undefined || next === this.#lastSeq + 1) {
      return;
    }
    const gap = new GapError(this.id, this.#lastSeq + 1, next - 1);
    this.#host.gap(gap);
    if (this.#onGap === 'continue') {
      this.#output.push({ type: 'gap', from: gap.from, to: gap.to });
    } else {
      // The streams end here; the exit is still told.
      this.#output.end(gap);
    }
  }

  #adopt(reply: AttachReply): void {
    const isOther = this.#pid !== undefined && reply.pid !== undefined && !this.#isSame(reply);
    if (isOther) {
      throw new HoldfastError(
        'closed',
        `session ${this.id}: its id belongs to another process (pid ${reply.pid}) by now`,
      );
    }
    this.#pid ??= reply.pid;
    this.#startTime ??= reply.startTime;
    this.#activity = reply.activity;
    this.#stdinApplied = reply.stdinApplied ?? 0;
    this.#toldSeq = reply.lastSeq ?? 0;
    this.#answered.resolve();
    this.#lastSeq ??= 0;
    this.#opened.resolve();
    if (this.#isOver) {
      this.#input.endedAt(reply.stdinApplied ?? 0, this.#noMoreInput());
    } else if (!this.#attachment.isObserver) {
      this.#input.linked(reply.stdinApplied ?? 0);
      this.#attachment.attached();
    }
  }

  #isSame({ pid, startTime }: AttachReply): boolean {
    return pid === this.#pid && startTime === this.#startTime;
  }

  async #closeStdin(offset: number): Promise<void> {
    try {
      await this.#host.request('holdfast.closeStdin', { id: this.id, offset }, 'link');
    } catch (error) {
      // A process that has ended reads no more, so it has its end of file.
      const isGone = error instanceof HoldfastError && /Process not (?:running|found)/.test(error.message);
      if (!isGone) {
        throw error;
      }
    }
  }

  /** Profile S names no signal in its exit frame; the list of sessions does. */
  #tellExit({ exitCode: code, signal, killedBy }: ExitFrame): void {
    if (code !== -1 || signal !== undefined || !this.#host.facts.hasExtensions) {
      this.#exit.resolve({ code, signal, killedBy });
      return;
    }
    this.#host
      .request('holdfast.sessions', {})
      .then((reply) => {
        const { sessions } = reply as { readonly sessions: readonly (Partial<Exit> & { readonly id: string })[] };
        const told = sessions.find(({ id }) => id === this.id);
        this.#exit.resolve({ code, signal: told?.signal, killedBy: told?.killedBy ?? killedBy });
      })
      .catch(() => this.#exit.resolve({ code, signal, killedBy }));
  }

  #refuseObserver(what: string): void {
    if (this.#attachment.isObserver) {
      throw new HoldfastError(
        'unsupported',
        `${what} of a session that is only observed; take it over with session(id)`,
      );
    }
  }
}

function asBuffer(data: string | Uint8Array): Buffer {
  return typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
