/**
 * Reads one session's frames from the host daemon into its upload, over a connection of its own. It only looks on
 * (`observe`), so the program is never held up and a session that ends unread is kept by the daemon; while the server takes
 * nothing the connection is given back, because the daemon keeps the frames better than we do.
 */

import { messageOf } from '../../base/error-texts.ts';
import { connect, HoldfastError, type Host, type TargetOptions } from '../../client/index.ts';
import type { AgentLog } from './log.ts';
import type { OutputUpload } from './output-upload.ts';
import { pause } from './pauses.ts';

export interface ReaderOptions {
  readonly sessionId: string;
  readonly target: TargetOptions;
  readonly upload: OutputUpload;
  readonly log: AgentLog;
  readonly signal: AbortSignal;
  /** Frames that the daemon does not have any more. */
  gap(from: number, to: number): void;
  exited(exitCode: number | null, signal: string | null): void;
  /** The daemon does not know the session any more. */
  gone(): void;
}

/** Between attempts while the daemon cannot be reached: it is being started again then. */
const retryMs = 250;

export class OutputReader {
  readonly #options: ReaderOptions;
  #host: Host | undefined;
  /** Number of the last frame that went into the upload, or that it wants no more. */
  #lastSeq: number;
  #isOver = false;
  /** Told when reading begins again at another place. */
  #turned = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#lastSeq = options.upload.acceptedSeq;
    void this.#work();
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Goes on behind `lastSeq`, which may have been read before. */
  readFrom(lastSeq: number): void {
    this.#lastSeq = lastSeq;
    this.#turned = true;
    this.#isOver = false;
    void this.#host?.close();
  }

  stop(): void {
    this.#isOver = true;
    void this.#host?.close();
  }

  async #work(): Promise<void> {
    const { signal, sessionId, log, upload } = this.#options;
    const onAbort = (): void => void this.#host?.close();
    signal.addEventListener('abort', onAbort, { once: true });
    // Of a session that the server has deleted nothing is sent, but its end is waited for.
    while (!signal.aborted && !(upload.isOver && this.#isOver)) {
      if (this.#isOver) {
        // Read to its end; the server may still want something again.
        await Promise.race([upload.finished, pause(retryMs, signal)]);
        continue;
      }
      this.#turned = false;
      try {
        await this.#read();
      } catch (error) {
        if (this.#turned || signal.aborted) {
          continue;
        }
        if (error instanceof HoldfastError && isUnknownSession(error)) {
          this.#isOver = true;
          this.#options.gone();
          continue;
        }
        log.debug(`Reading ${sessionId}: ${messageOf(error)}`);
        await pause(retryMs, signal);
      }
    }
    signal.removeEventListener('abort', onAbort);
    await this.#host?.close();
  }

  /** Reads until the end, or until the server takes no more. @throws HoldfastError */
  async #read(): Promise<void> {
    const { sessionId, target, upload } = this.#options;
    const host = await connect(target);
    this.#host = host;
    try {
      const session = await host.observe(sessionId, { fromSeq: this.#lastSeq, onGap: 'continue' });
      // Its failure comes through the events.
      session.exit.catch(() => {});
      for await (const event of session.events) {
        if (this.#turned) {
          return;
        }
        if (event.type === 'gap') {
          this.#options.gap(event.from, event.to);
          this.#lastSeq = event.to;
          continue;
        }
        this.#lastSeq = event.seq;
        if (event.type === 'exit') {
          const exitCode = event.signal === undefined && event.exitCode >= 0 ? event.exitCode : null;
          const signal = event.signal ?? null;
          this.#isOver = true;
          this.#options.exited(exitCode, signal);
          upload.push({ seq: event.seq, stream: 'exit', ts: Date.now(), exitCode, signal });
          return;
        }
        upload.push({ seq: event.seq, stream: event.type, ts: Date.now(), data: event.data });
        if (upload.isFull) {
          if (upload.isFailing) {
            break;
          }
          await upload.room();
        }
      }
    } finally {
      this.#host = undefined;
      await host.close();
    }
    await upload.room();
  }
}

/** A daemon without its keeper answers otherwise, so this is no matter of time. */
function isUnknownSession({ kind, message }: HoldfastError): boolean {
  const isAnothers = kind === 'closed' && /belongs to another process/.test(message);
  return isAnothers || (kind === 'rpc' && /Process not found/.test(message));
}
