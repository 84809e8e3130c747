/** `GET /v1/events` (spec mesh.md §11): server-sent events to every program that listens. */
import type { ServerResponse } from 'node:http';
import type { EventKind, MeshEvents } from '../events.ts';
import type { MeshLog } from '../log.ts';
import { meshTimings } from '../timings.ts';

/** A listener that has left so much unread is disconnected: what it has missed is in the inbox. */
const mostUnsentBytes = 1024 * 1024;

const headers = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  Connection: 'keep-alive',
  'X-Accel-Buffering': 'no',
} as const;

export class EventStreams {
  readonly #streams = new Set<EventStream>();
  readonly #events: MeshEvents;
  readonly #log: MeshLog;
  readonly #keepalive: NodeJS.Timeout;
  #ended = false;

  constructor(events: MeshEvents, log: MeshLog) {
    this.#events = events;
    this.#log = log;
    this.#keepalive = setInterval(() => {
      for (const stream of this.#streams) {
        stream.write(': keepalive\n\n');
      }
    }, meshTimings.keepaliveMs);
    this.#keepalive.unref();
  }

  open(response: ServerResponse): void {
    response.writeHead(200, headers);
    if (this.#ended) {
      response.end();
      return;
    }
    const stream = new EventStream(response, this.#events, (unsentBytes) =>
      this.#log.warn('event_stream_cut', {
        unsent_bytes: unsentBytes,
        limit_bytes: mostUnsentBytes,
        remedy: 'read /v1/events faster; what was missed is in /v1/inbox?since=',
      }),
    );
    this.#streams.add(stream);
    response.on('close', () => {
      stream.end();
      this.#streams.delete(stream);
    });
  }

  /** Ends every stream; none is opened any more. */
  end(): void {
    this.#ended = true;
    clearInterval(this.#keepalive);
    for (const stream of this.#streams) {
      stream.end();
    }
  }
}

class EventStream {
  readonly #response: ServerResponse;
  readonly #tooSlow: (unsentBytes: number) => void;
  readonly #unsubscribe: () => void;
  #number = 0;

  constructor(response: ServerResponse, events: MeshEvents, tooSlow: (unsentBytes: number) => void) {
    this.#response = response;
    this.#tooSlow = tooSlow;
    // A listener that has gone away is no failure of ours.
    response.on('error', () => {});
    this.write(': connected\n\n');
    this.#unsubscribe = events.subscribe((kind, data) => this.#event(kind, data));
  }

  #event(kind: EventKind, data: string): void {
    this.#number++;
    this.write(`id: ${this.#number}\nevent: ${kind}\ndata: ${data}\n\n`);
  }

  write(text: string): void {
    const { writableEnded, destroyed } = this.#response;
    if (writableEnded || destroyed) {
      return;
    }
    this.#response.write(text);
    const unsent = this.#response.writableLength;
    if (unsent > mostUnsentBytes) {
      this.#tooSlow(unsent);
      this.#response.destroy();
    }
  }

  end(): void {
    this.#unsubscribe();
    this.#response.end();
  }
}
