/** Sends that wait for the broker's ack, by the key that both carry (spec mesh.md §8, §9.3). */
import type { Frame } from './inbound.ts';

export type AckResult =
  | { readonly ok: true; readonly brokerMessageId: string }
  /** `isBrokers`: the text is the broker's own, so it may be final. */
  | { readonly ok: false; readonly error: string; readonly isBrokers: boolean };

/** A broker's text goes to a row and to a log. */
const longestError = 1000;

export class WaitingAcks {
  readonly #limitMs: number;
  readonly #waiting = new Map<string, (result: AckResult) => void>();

  /** @param limitMs without an answer for so long the result is `ack_timeout` */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** `undefined` while another send of this key waits: the broker's ack would say nothing of which of them it answers. */
  add(id: string): Promise<AckResult> | undefined {
    if (this.#waiting.has(id)) {
      return undefined;
    }
    return new Promise((resolve) => {
      const late = setTimeout(() => settle(ours('ack_timeout')), this.#limitMs);
      const settle = (result: AckResult): void => {
        clearTimeout(late);
        this.#waiting.delete(id);
        resolve(result);
      };
      this.#waiting.set(id, settle);
    });
  }

  /** An ack for what nobody waits for is late, or made up: it changes nothing. */
  take({ id, messageId, queued, error }: Frame): void {
    const settle = typeof id === 'string' ? this.#waiting.get(id) : undefined;
    if (settle === undefined) {
      return;
    }
    if (typeof error === 'string' && error !== '') {
      settle({ ok: false, error: error.slice(0, longestError), isBrokers: true });
    } else if (queued === true && typeof messageId === 'string' && messageId !== '') {
      settle({ ok: true, brokerMessageId: messageId });
    } else {
      settle(ours('the broker answered with an ack that says neither queued nor why not'));
    }
  }

  failAll(error: string): void {
    for (const settle of [...this.#waiting.values()]) {
      settle(ours(error));
    }
  }
}

function ours(error: string): AckResult {
  return { ok: false, error, isBrokers: false };
}
