/**
 * When a connection's answers of any size are made: one after the other while the client has not read the last, so that a
 * client that asks for much and reads nothing makes the daemon hold one of them and not all.
 */
import type { MemoryBudget } from '../../base/memory-budget.ts';
import { EngineFailure } from '../../engine/failures.ts';
import type { AnswerRoom } from './methods/method.ts';

export interface AnswerRoomsOptions {
  readonly budget: Pick<MemoryBudget, 'take' | 'give' | 'ensureRoom'>;
  /** So much may be made and unsent together; a longer answer is made when there is nothing else. */
  readonly maxBytes: number;
  /** Bytes of replies that the client has not taken. */
  unsentBytes(): number;
}

interface Waiting {
  readonly bytes: number;
  readonly resolve: (room: AnswerRoom) => void;
  readonly reject: (error: unknown) => void;
}

export class AnswerRooms {
  readonly #options: AnswerRoomsOptions;
  /** What the answers that are being made will take, as far as that is known. */
  #reserved = 0;
  #waiting: Waiting[] = [];
  #closed = false;

  constructor(options: AnswerRoomsOptions) {
    this.#options = options;
  }

  /** Resolves when an answer of about so many bytes may be made. @throws MemoryBudgetReached, EngineFailure */
  ask(bytes: number): Promise<AnswerRoom> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes, resolve, reject });
      this.look();
    });
  }

  /** Something has left: there may be room. */
  look(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const used = this.#reserved + this.#options.unsentBytes();
      const isLong = used + next.bytes > this.#options.maxBytes;
      if (this.#closed) {
        this.#waiting.shift();
        next.reject(new EngineFailure('clientGone'));
      } else if (isLong && used > 0) {
        return;
      } else {
        this.#waiting.shift();
        this.#letIn(next, isLong);
      }
    }
  }

  #letIn({ bytes, resolve, reject }: Waiting, isLong: boolean): void {
    try {
      if (isLong) {
        this.#options.budget.ensureRoom(bytes, 'an answer');
      }
      resolve(this.#room(bytes));
    } catch (error) {
      reject(error);
    }
  }

  #room(expected: number): AnswerRoom {
    const { budget, maxBytes } = this.#options;
    let reserved = expected;
    let grown = 0;
    let isOpen = true;
    this.#reserved += reserved;
    return {
      grow: (bytes) => {
        if (this.#closed) {
          throw new EngineFailure('clientGone');
        }
        if (grown + bytes > maxBytes) {
          budget.ensureRoom(bytes, 'an answer');
        }
        budget.take(bytes);
        grown += bytes;
        const beyond = Math.max(0, grown - reserved);
        reserved += beyond;
        this.#reserved += beyond;
      },
      [Symbol.dispose]: () => {
        if (isOpen) {
          isOpen = false;
          this.#reserved -= reserved;
          budget.give(grown);
          this.look();
        }
      },
    };
  }

  /** Nobody will read an answer any more. */
  close(): void {
    this.#closed = true;
    this.look();
  }
}
