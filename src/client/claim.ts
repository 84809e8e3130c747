/** Whose a session is after a break: ours still, or another client's by now. */
import type { SessionInfo } from '../wire/extension-types.ts';
import { HoldfastError } from './errors.ts';
import type { DaemonFacts } from './handshake.ts';

export interface ClaimHost {
  readonly facts: DaemonFacts;
  /** `holdfast.sessions` over this link. @throws LinkLost */
  list(): Promise<readonly SessionInfo[]>;
}

/** The daemon is asked so long after an attach: most sessions are over by then. */
const claimMs = 1_000;

/**
 * A session that another client has taken is not taken back, or the two would take it from each other for ever. A dead
 * connection of ours that the daemon has not missed yet has the session since the time that was told to us.
 */
export class Claim {
  readonly #id: string;
  readonly #host: ClaimHost;
  /** When the daemon gave us the session last; `undefined`: it has not told. */
  #since: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(id: string, host: ClaimHost) {
    this.#id = id;
    this.#host = host;
  }

  /** The session is ours now. */
  attached(): void {
    if (this.#host.facts.hasExtensions) {
      this.#timer = setTimeout(async () => {
        this.#since = (await this.#find().catch(() => undefined))?.sinceAttachChange;
      }, claimMs);
      this.#timer.unref();
    }
  }

  /** Before it is attached again. @throws HoldfastError `closed` */
  async refuseWhenTaken(): Promise<void> {
    const since = this.#since;
    // Unknown until the attach that follows has been answered.
    this.#since = undefined;
    if (since === undefined) {
      return;
    }
    const found = await this.#find();
    if (found?.attached === true && found.sinceAttachChange !== since) {
      throw new HoldfastError('closed', `session ${this.#id} was taken over by another client`);
    }
  }

  /** The link has broken, or the session is over. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  async #find(): Promise<SessionInfo | undefined> {
    return (await this.#host.list()).find(({ id }) => id === this.#id);
  }
}
