/** The daemons that `attention --watch` looks at, over restarts of theirs; new ones are found on the way. */
import { timings } from '../../base/timings.ts';
import { connect, HoldfastError, type HoldfastErrorKind, type Host } from '../../client/index.ts';
import { type DaemonWords, targetOptions } from '../daemon-options.ts';
import { daemonPlaces } from '../daemons.ts';
import { lookForAllRequests, type SeenSession } from '../look-for-requests.ts';
import type { VerbContext } from '../verbs.ts';
import { type AttentionRow, rowsOf } from './attention.ts';

interface WatchedDaemon {
  readonly socket: string;
  readonly host: Host;
  seen: ReadonlyMap<string, SeenSession>;
}

/** A daemon that is not looked at, or not any more. */
export interface LostDaemon {
  /** `refused`: nobody answers. */
  readonly kind: HoldfastErrorKind;
  readonly reason: string;
}

const connectMs = 10_000;
/** Looking for new daemons reads the list of all processes. */
const findEveryMs = 5_000;

export class WatchedDaemons implements AsyncDisposable {
  readonly #words: DaemonWords;
  readonly #context: VerbContext;
  readonly #watched = new Map<string, WatchedDaemon>();
  readonly #lost: LostDaemon[] = [];
  #foundAt = Number.NEGATIVE_INFINITY;

  constructor(words: DaemonWords, context: VerbContext) {
    this.#words = words;
    this.#context = context;
  }

  get watched(): readonly WatchedDaemon[] {
    return [...this.#watched.values()];
  }

  /** Why daemons are not looked at, the newest last. */
  get lost(): readonly LostDaemon[] {
    return this.#lost;
  }

  /** Looks for daemons that are not watched yet, when the last time was long ago. */
  async find(): Promise<void> {
    if (performance.now() - this.#foundAt < findEveryMs && this.#watched.size > 0) {
      return;
    }
    this.#foundAt = performance.now();
    const { host, socket } = this.#words;
    const sockets =
      host === undefined
        ? (await daemonPlaces(this.#words, this.#context)).map((place) => place.socket)
        : [socket ?? 'rpc.sock'];
    await Promise.all(sockets.filter((each) => !this.#watched.has(each)).map((each) => this.#connect(each)));
  }

  /** Every request that waits now. */
  async look(): Promise<AttentionRow[]> {
    const rows = await Promise.all(
      this.watched.map(async (daemon) => {
        try {
          const sessions = await daemon.host.sessions();
          daemon.seen = await lookForAllRequests(daemon.host, sessions, daemon.seen);
          return rowsOf(daemon.socket, sessions, daemon.seen);
        } catch (error) {
          await this.#drop(daemon, error);
          return [];
        }
      }),
    );
    return rows.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.watched.map(({ host }) => host.close()));
  }

  async #connect(socket: string): Promise<void> {
    const words = this.#words.host === undefined ? { ...this.#words, socket } : this.#words;
    try {
      const target = targetOptions(words, this.#context, undefined);
      const host = await connect({ ...target, connectTimeoutMs: connectMs, retry: { giveUpMs: timings.lookGiveUpMs } });
      this.#watched.set(socket, { socket, host, seen: new Map() });
    } catch (error) {
      if (!(error instanceof HoldfastError)) {
        throw error;
      }
      this.#lost.push({ kind: error.kind, reason: error.message });
    }
  }

  /** A daemon that has gone for good; what fails for one moment only is asked again. */
  async #drop(daemon: WatchedDaemon, error: unknown): Promise<void> {
    if (!(error instanceof HoldfastError)) {
      throw error;
    }
    if (error.kind !== 'rpc') {
      this.#watched.delete(daemon.socket);
      this.#lost.push({ kind: error.kind, reason: error.message });
      await daemon.host.close();
    }
  }
}
