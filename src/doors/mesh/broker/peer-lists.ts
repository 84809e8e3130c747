/** Asks the broker who is connected (spec mesh.md §9.3). Whoever asks while an answer is on its way shares it. */
import type { Peer } from './broker.ts';
import type { Frame } from './inbound.ts';

/** A mesh of people and agents has fewer; more would only fill memory. */
export const mostPeers = 10_000;

export interface PeerListOptions {
  /** Without an answer for so long there is none. */
  readonly limitMs: number;
  /** An answer serves those who look up names for so long, unless somebody comes or goes. */
  readonly keptMs: number;
  /** False when there is no connection. */
  write(frame: object): boolean;
  /** More than {@link mostPeers}; the others are left out. */
  onTooMany(count: number): void;
}

export class PeerLists {
  readonly #options: PeerListOptions;
  #serial = 0;
  #asked: { readonly id: string; readonly answer: Promise<readonly Peer[] | undefined> } | undefined;
  #settle: ((peers: readonly Peer[] | undefined) => void) | undefined;
  #kept: { readonly peers: readonly Peer[]; readonly until: number } | undefined;

  constructor(options: PeerListOptions) {
    this.#options = options;
  }

  /** `undefined` without a connection, and when the broker is silent. */
  ask(): Promise<readonly Peer[] | undefined> {
    return this.#asked?.answer ?? this.#askAnew();
  }

  /** The last answer, while it may still be true. */
  get kept(): readonly Peer[] | undefined {
    return this.#kept !== undefined && performance.now() < this.#kept.until ? this.#kept.peers : undefined;
  }

  /** Somebody came or went. */
  changed(): void {
    this.#kept = undefined;
  }

  take({ peers, _reqId }: Frame): void {
    if (this.#asked === undefined || _reqId !== this.#asked.id) {
      return;
    }
    const list = Array.isArray(peers) ? peers : [];
    if (list.length > mostPeers) {
      this.#options.onTooMany(list.length);
    }
    const known = list.slice(0, mostPeers).filter((peer): peer is Peer => typeof peer === 'object' && peer !== null);
    this.#kept = { peers: known, until: performance.now() + this.#options.keptMs };
    this.#settle?.(known);
  }

  /** The connection is gone. */
  fail(): void {
    this.#kept = undefined;
    this.#settle?.(undefined);
  }

  #askAnew(): Promise<readonly Peer[] | undefined> {
    const id = `pl-${++this.#serial}`;
    if (!this.#options.write({ type: 'list_peers', _reqId: id })) {
      return Promise.resolve(undefined);
    }
    const answer = new Promise<readonly Peer[] | undefined>((resolve) => {
      const late = setTimeout(() => this.#settle?.(undefined), this.#options.limitMs);
      this.#settle = (peers) => {
        clearTimeout(late);
        this.#asked = undefined;
        this.#settle = undefined;
        resolve(peers);
      };
    });
    this.#asked = { id, answer };
    return answer;
  }
}
