/**
 * `-wire-log`: every frame as one line of JSON, secrets redacted (spec modes.md §15). Loaded only when asked for; a
 * connection of a daemon without it has no tap.
 */

import { atOnce } from '../../../../platform/steps.ts';
import type { Counters } from '../../../base/counters.ts';
import type { Log } from '../../../base/log.ts';
import { Turns } from '../../../base/take-turns.ts';
import type { Steps } from '../../../wire/steps.ts';
import type { WireTap } from '../wire-tap.ts';
import { type Envelope, readEnvelope } from './envelope.ts';
import { showFrame } from './wire-frame.ts';
import type { WireLogFile } from './wire-log-file.ts';

/** Frames that wait for a long one before them. Of more the last one is shown at once, so that none is lost. */
const maxWaitingBytes = 16 * 1024 * 1024;
/** Lines kept for one write at the end of the loop turn. */
const bufferedCharacters = 1024 * 1024;
/** Requests of one connection whose method is remembered for their reply. */
const maxRemembered = 10_000;
/** A method is a client's word. */
const maxMethodCharacters = 128;
const notJson = 'not valid JSON';

export interface WireLogOptions {
  readonly file: WireLogFile;
  /** Longest string in characters; 0: frames are shown whole, as text. */
  readonly maxString: number;
  readonly log: Log;
  readonly counters: Counters;
}

export class WireLog implements Disposable {
  readonly #options: WireLogOptions;
  #connections = 0;
  /** A frame of a megabyte may take a tenth of a second to be shown. The first is being shown, in turns. */
  readonly #waiting: Showing[] = [];
  #waitingBytes = 0;
  #lines: string[] = [];
  #characters = 0;
  #scheduled = false;
  #lost = 0;
  #closed = false;
  #reason = '';

  constructor(options: WireLogOptions) {
    this.#options = options;
  }

  /** For a connection that has just been accepted. */
  tap(): WireTap {
    const connection = ++this.#connections;
    const methods = new Map<string, string>();
    return {
      received: (line) => this.#record(connection, 'in', line.toString('utf8'), line.length, methods),
      sent: (frames) => {
        for (const frame of typeof frames[0] === 'string' ? (frames as string[]) : linesOf(frames as Buffer)) {
          const text = frame.endsWith('\n') ? frame.slice(0, -1) : frame;
          this.#record(connection, 'out', text, Buffer.byteLength(text), methods);
        }
      },
    };
  }

  /** Writes what is left and tells what could not be written. */
  [Symbol.dispose](): void {
    this.#showWaiting();
    this.#flush();
    this.#closed = true;
    this.#options.file.close();
    if (this.#lost > 0) {
      this.#options.log.warn('Server', `wire log: ${this.#lost} frame(s) could not be written: ${this.#reason}`);
    }
  }

  #record(conn: number, dir: 'in' | 'out', text: string, n: number, methods: Map<string, string>): void {
    const head = { ts: new Date().toISOString(), pid: process.pid, conn, dir };
    this.#waiting.push({ steps: this.#show(head, text, n, methods), bytes: n });
    this.#waitingBytes += n;
    if (this.#waitingBytes > maxWaitingBytes) {
      this.#showWaiting();
    } else if (this.#waiting.length === 1) {
      void this.#showInTurns();
    }
  }

  /** The first piece of work is done before this returns; nearly every frame takes no more. */
  async #showInTurns(): Promise<void> {
    const turns = new Turns();
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      let step = first.steps.next();
      while (step.done !== true) {
        const pause = turns.pause();
        if (pause !== undefined) {
          await pause;
        }
        step = first.steps.next();
      }
      this.#isShown();
    }
  }

  #showWaiting(): void {
    for (const { steps } of [...this.#waiting]) {
      atOnce(steps);
      this.#isShown();
    }
  }

  #isShown(): void {
    this.#waitingBytes -= this.#waiting.shift()?.bytes ?? 0;
  }

  *#show(head: Head, text: string, n: number, methods: Map<string, string>): Steps<void> {
    const { maxString, log } = this.#options;
    const hide = (value: string): Steps<string> => log.secrets.hideInSteps(value);
    const envelope = yield* readEnvelope(Buffer.from(text));
    const valid = envelope !== undefined;
    const method = valid ? yield* methodOf(head.dir, envelope, methods, hide) : undefined;
    const start = JSON.stringify({ ...head, method, n }).slice(0, -1);
    const body =
      valid && maxString > 0
        ? `"body":${yield* showFrame(text, { maxString, hide })}`
        : `"raw":${JSON.stringify(yield* hide(yield* showFrame(text, { maxString: 0, hide })))}`;
    const error = valid ? '' : `,"parse_error":"${notJson}"`;
    this.#add(`${start},${body}${error}}\n`);
  }

  #add(line: string): void {
    this.#lines.push(line);
    this.#characters += line.length;
    if (this.#characters >= bufferedCharacters) {
      this.#flush();
    }
    if (this.#scheduled) {
      return;
    }
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const lines = this.#lines;
    if (lines.length === 0 || this.#closed) {
      return;
    }
    this.#lines = [];
    this.#characters = 0;
    try {
      this.#options.file.write(Buffer.from(lines.join('')));
    } catch (error) {
      this.#lose(lines.length, error);
    }
  }

  #lose(frames: number, error: unknown): void {
    const { log, counters, file } = this.#options;
    this.#reason = (error as Error).message;
    if (this.#lost === 0) {
      log.warn('Server', `wire log: cannot write ${file.path}: ${this.#reason}; frames are lost`);
    }
    this.#lost += frames;
    counters.wireLogFramesLost += frames;
  }
}

/** A frame that is shown step by step. */
interface Showing {
  readonly steps: Steps<void>;
  readonly bytes: number;
}

/** What a line begins with. */
interface Head {
  readonly ts: string;
  readonly pid: number;
  readonly conn: number;
  readonly dir: 'in' | 'out';
}

/** A reply is shown with the method it answers. */
function* methodOf(
  dir: 'in' | 'out',
  { idText, method }: Envelope,
  methods: Map<string, string>,
  hide: (text: string) => Steps<string>,
): Steps<string | undefined> {
  if (dir === 'out') {
    const answered = idText && methods.get(idText);
    methods.delete(idText ?? '');
    return answered;
  }
  if (method === undefined) {
    return undefined;
  }
  // In this order: of a secret that is cut in two the first half would be shown.
  const shown = (yield* hide(method)).slice(0, maxMethodCharacters);
  if (idText !== undefined && methods.size < maxRemembered) {
    methods.set(idText, shown);
  }
  return shown;
}

function* linesOf(frames: Buffer): Iterable<string> {
  for (let start = 0; start < frames.length; ) {
    const end = frames.indexOf(0x0a, start) + 1 || frames.length;
    yield frames.toString('utf8', start, end);
    start = end;
  }
}
