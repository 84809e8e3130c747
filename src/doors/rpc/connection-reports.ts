/** What the log and the counters say of one connection: its begin and end, and each limit that it has reached. */
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import { maxLineBytes } from '../../wire/line-reader.ts';
import { freeNewcomerBytes, maxNewcomersBytes } from './newcomers.ts';

export class ConnectionReports {
  readonly #log: Log;
  readonly #counters: Counters;
  #toldBusy = false;
  #toldClose = false;

  constructor(log: Log, counters: Counters) {
    this.#log = log;
    this.#counters = counters;
  }

  opened(): void {
    this.#log.info('Server', 'New connection from: @');
  }

  /** Told once, when the client has ended its half or the socket is closed. */
  closed(): void {
    if (!this.#toldClose) {
      this.#toldClose = true;
      this.#log.info('Server', 'Connection closed: @');
    }
  }

  /** Its requests wait for the first time. */
  busy(what: string): void {
    if (!this.#toldBusy) {
      this.#toldBusy = true;
      this.#counters.busyConnections++;
      this.#log.warn('Server', `connection has ${what}`);
    }
  }

  newcomerRefused(): void {
    this.#counters.newcomersRefused++;
    this.#log.warn(
      'Server',
      `connections that have not shown the token hold ${maxNewcomersBytes} bytes, and this one more than ${freeNewcomerBytes}; ` +
        'closing connection: @; show the token in a shorter request first',
    );
  }

  lineTooLong(): void {
    this.#counters.overlongLines++;
    this.#log.warn('Server', `line longer than ${maxLineBytes} bytes; closing connection: @`);
  }

  eventsUnread(maxBytes: number): void {
    this.#counters.slowReadersDropped++;
    this.#log.warn(
      'Server',
      `connection has ${maxBytes} bytes of events unread; closing it: read them, or ask for none`,
    );
  }

  /** @param seq the frame that left the replay window before it was sent */
  fellBehind(processId: string, seq: number): void {
    this.#counters.slowReadersDropped++;
    this.#log.warn(
      'frameSink',
      `slow reader dropped: process ${processId} evicted seq ${seq} before it was sent; reattach with fromSeq ${seq - 1}`,
    );
  }

  streamLost(processId: string): void {
    this.#log.warn('frameSink', `connection closed: lost touch with process ${processId}; reattach`);
  }
}
