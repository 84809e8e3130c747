/**
 * `-wire-log`: every frame as one line of JSON, secrets redacted (spec modes.md §15). Loaded only when asked for; a
 * connection of a daemon without it has no tap.
 */

import type { Counters } from '../../../base/counters.ts';
import type { Log } from '../../../base/log.ts';
import type { WireTap } from '../wire-tap.ts';
import { showFrame } from './wire-frame.ts';
import type { WireLogFile } from './wire-log-file.ts';

/** Lines kept for one write at the end of the loop turn. */
const bufferedCharacters = 1024 * 1024;
/** Requests of one connection whose method is remembered for their reply. */
const maxRemembered = 10_000;
/** A method is a client's word. */
const maxMethodCharacters = 128;
/** The parser's own message quotes the text, secrets and all. */
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
    this.#flush();
    this.#closed = true;
    this.#options.file.close();
    if (this.#lost > 0) {
      this.#options.log.warn('Server', `wire log: ${this.#lost} frame(s) could not be written: ${this.#reason}`);
    }
  }

  #record(conn: number, dir: 'in' | 'out', text: string, n: number, methods: Map<string, string>): void {
    const { maxString, log } = this.#options;
    const hide = (value: string): string => log.secrets.hide(value);
    let frame: Frame | undefined;
    try {
      frame = JSON.parse(text);
    } catch {
      frame = undefined;
    }
    const valid = frame !== undefined;
    const method = methodOf(dir, frame, methods, hide);
    const head = JSON.stringify({ ts: new Date().toISOString(), pid: process.pid, conn, dir, method, n }).slice(0, -1);
    const body =
      valid && maxString > 0
        ? `"body":${showFrame(text, { maxString, hide })}`
        : `"raw":${JSON.stringify(hide(showFrame(text, { maxString: 0, hide })))}`;
    const error = valid ? '' : `,"parse_error":"${notJson}"`;
    this.#add(`${head},${body}${error}}\n`);
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

type Frame = { readonly method?: unknown; readonly id?: unknown } | null;

/** A reply is shown with the method it answers. */
function methodOf(
  dir: 'in' | 'out',
  frame: Frame | undefined,
  methods: Map<string, string>,
  hide: (text: string) => string,
): string | undefined {
  if (frame === undefined || frame === null || typeof frame !== 'object') {
    return undefined;
  }
  const id = JSON.stringify(frame.id);
  if (dir === 'out') {
    const method = methods.get(id);
    if (id !== undefined) {
      methods.delete(id);
    }
    return method;
  }
  if (typeof frame.method !== 'string') {
    return undefined;
  }
  // In this order: of a secret that is cut in two the first half would be shown.
  const method = hide(frame.method).slice(0, maxMethodCharacters);
  if (id !== undefined && methods.size < maxRemembered) {
    methods.set(id, method);
  }
  return method;
}

function* linesOf(frames: Buffer): Iterable<string> {
  for (let start = 0; start < frames.length; ) {
    const end = frames.indexOf(0x0a, start) + 1 || frames.length;
    yield frames.toString('utf8', start, end);
    start = end;
  }
}
