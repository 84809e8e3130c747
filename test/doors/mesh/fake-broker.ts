/** A broker connection for tests of the drain worker: opened and closed by hand, and every answer is the test's. */
import type { Broker, BrokerState, OutgoingMessage, SendResult } from '../../../src/doors/mesh/broker/broker.ts';

export class FakeBroker implements Broker {
  readonly mesh = 'smoke-test';
  readonly sent: OutgoingMessage[] = [];
  /** How the next message is answered. */
  answer: (message: OutgoingMessage) => SendResult | Promise<SendResult> = delivered;
  #state: BrokerState = 'open';
  #waiting: (() => void)[] = [];

  get state(): BrokerState {
    return this.#state;
  }

  set state(state: BrokerState) {
    this.#state = state;
    for (const look of this.#waiting.splice(0)) {
      look();
    }
  }

  /** Texts of what was sent, oldest first. */
  get texts(): readonly string[] {
    return this.sent.map(({ payload }) => Buffer.from(payload).toString());
  }

  async whenOpen(signal: AbortSignal): Promise<boolean> {
    while (this.#state !== 'open' && this.#state !== 'closed' && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.#state === 'open' && !signal.aborted;
  }

  async send(message: OutgoingMessage): Promise<SendResult> {
    this.sent.push(message);
    return await this.answer(message);
  }

  peers(): Promise<readonly never[]> {
    return Promise.resolve([]);
  }

  changeProfile(): void {}

  close(): Promise<void> {
    this.state = 'closed';
    return Promise.resolve();
  }
}

export function delivered({ clientMessageId }: OutgoingMessage): SendResult {
  return { ok: true, brokerMessageId: `b-${clientMessageId}`, nonce: 'bm9uY2U=', ciphertext: 'dGV4dA==' };
}

export function refusedWith(error: string, permanent = false): () => SendResult {
  return () => ({ ok: false, error, permanent });
}
