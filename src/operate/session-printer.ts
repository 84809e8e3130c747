/** Prints the events of a session, as `attach` and `logs` show them (spec client.md §6). */

import { isUtf8 } from 'node:buffer';
import { StringDecoder } from 'node:string_decoder';
import type { SessionEvent } from '../client/index.ts';
import { readableEvent } from './agent-events.ts';
import { HarmlessText } from './terminal-text.ts';

export interface PrintOptions {
  /** Bytes as they are, also on a terminal. */
  readonly raw: boolean;
  /** One JSON object a frame. */
  readonly json: boolean;
  /** One readable line for each JSON line of an agent's stdout. */
  readonly events: boolean;
  /** The streams that are wanted. */
  readonly streams: { readonly stdout: boolean; readonly stderr: boolean };
}

/** Where the bytes go; each resolves when there is room for more. */
export interface Outputs {
  readonly stdout: (bytes: Uint8Array | string) => Promise<void>;
  readonly stderr: (bytes: Uint8Array | string) => Promise<void>;
  /** Whether the stream is a terminal, which would obey what it is sent. */
  readonly isTerminal: { readonly stdout: boolean; readonly stderr: boolean };
}

type Stream = 'stdout' | 'stderr';

export class SessionPrinter {
  readonly #options: PrintOptions;
  readonly #outputs: Outputs;
  readonly #harmless = { stdout: new HarmlessText(), stderr: new HarmlessText() };
  readonly #lines = new StringDecoder('utf8');
  #line = '';
  #lastSeq: number;

  /** @param fromSeq the last frame before the first event */
  constructor(options: PrintOptions, outputs: Outputs, fromSeq: number) {
    this.#options = options;
    this.#outputs = outputs;
    this.#lastSeq = fromSeq;
  }

  /** Number of the last frame that was printed or left out. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  async print(event: SessionEvent): Promise<void> {
    this.#lastSeq = event.type === 'gap' ? event.to : event.seq;
    if (this.#options.json) {
      await this.#printJson(event);
    } else if (event.type === 'stdout' || event.type === 'stderr') {
      await this.#printOutput(event.type, event.data);
    }
  }

  /** What waits for the rest of a character or a line. */
  async end(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      await this.#outputs[stream](this.#harmless[stream].end());
    }
    if (this.#line !== '') {
      await this.#printLine(this.#line);
      this.#line = '';
    }
  }

  async #printJson(event: SessionEvent): Promise<void> {
    if (event.type === 'stdout' || event.type === 'stderr') {
      if (!this.#options.streams[event.type]) {
        return;
      }
      const bytes = Buffer.from(event.data.buffer, event.data.byteOffset, event.data.byteLength);
      const content = isUtf8(bytes) ? { text: bytes.toString() } : { data: bytes.toString('base64') };
      await this.#outputs.stdout(`${JSON.stringify({ seq: event.seq, stream: event.type, ...content })}\n`);
      return;
    }
    await this.#outputs.stdout(`${JSON.stringify(event)}\n`);
  }

  async #printOutput(stream: Stream, data: Uint8Array): Promise<void> {
    if (!this.#options.streams[stream]) {
      return;
    }
    if (this.#options.events && stream === 'stdout') {
      await this.#printEvents(data);
    } else if (this.#options.raw || !this.#outputs.isTerminal[stream]) {
      await this.#outputs[stream](data);
    } else {
      await this.#outputs[stream](this.#harmless[stream].take(data));
    }
  }

  async #printEvents(data: Uint8Array): Promise<void> {
    const lines = (this.#line + this.#lines.write(Buffer.from(data))).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      await this.#printLine(line);
    }
  }

  async #printLine(line: string): Promise<void> {
    const shown = readableEvent(line);
    if (shown !== undefined) {
      await this.#outputs.stdout(`${shown}\n`);
    }
  }
}
