/** The open connections of the daemon: accepting, counting, closing them when idle or at the end. */
import type { Socket } from 'node:net';
import type { Counters } from '../../base/counters.ts';
import { goDuration } from '../../base/durations.ts';
import type { Log } from '../../base/log.ts';
import { Connection, type ConnectionContext } from './connection.ts';
import { LongLines } from './long-lines.ts';
import { Newcomers } from './newcomers.ts';
import type { WireLog } from './wire-log/wire-log.ts';

export interface ClientsOptions extends Omit<ConnectionContext, 'onClose' | 'tap' | 'newcomers' | 'longLines'> {
  readonly wireLog: WireLog | undefined;
  /** Profile row `wire.idleCloseMs`; 0: never. */
  readonly idleCloseMs: number;
  /** A connection has closed. */
  onClose(): void;
}

export class Clients {
  readonly #options: ClientsOptions;
  readonly #open = new Map<Connection, Activity>();
  readonly #newcomers = new Newcomers();
  readonly #longLines = new LongLines();
  readonly #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: ClientsOptions) {
    this.#options = options;
    if (options.idleCloseMs === 0) {
      return;
    }
    const every = Math.min(options.idleCloseMs / 4, options.timings.idleCheckMaxMs);
    this.#idleTimer = setInterval(() => this.#closeIdle(), every).unref();
  }

  get count(): number {
    return this.#open.size;
  }

  accept(socket: Socket): void {
    this.#counters.connections++;
    const connection = new Connection(socket, {
      ...this.#options,
      newcomers: this.#newcomers,
      longLines: this.#longLines,
      tap: this.#options.wireLog?.tap(),
      onClose: (closed) => {
        this.#open.delete(closed);
        this.#options.onClose();
      },
    });
    this.#open.set(connection, { bytesMoved: -1, since: performance.now() });
  }

  /** Sends what is queued and closes each of them. @returns how many there were */
  closeAll(): number {
    clearInterval(this.#idleTimer);
    const count = this.#open.size;
    for (const connection of this.#open.keys()) {
      connection.close();
    }
    return count;
  }

  /** spec wire.md §1 "idle close": no byte in either direction. */
  #closeIdle(): void {
    const now = performance.now();
    const { idleCloseMs } = this.#options;
    for (const [connection, last] of this.#open) {
      const { bytesMoved } = connection;
      if (bytesMoved !== last.bytesMoved) {
        last.bytesMoved = bytesMoved;
        last.since = now;
      } else if (now - last.since >= idleCloseMs) {
        this.#log.info('Server', `closing connection idle ${goDuration(idleCloseMs)} in both directions: @`);
        connection.destroy();
      }
    }
  }

  get #log(): Log {
    return this.#options.log;
  }

  get #counters(): Counters {
    return this.#options.counters;
  }
}

interface Activity {
  bytesMoved: number;
  since: number;
}
