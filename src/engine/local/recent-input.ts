/**
 * The last input of a process, for those who look on and must know whether somebody has answered it (spec operators.md
 * "Waiting"). Only a running process keeps it, and only so much of it.
 */
import type { MemoryBudget } from '../../base/memory-budget.ts';
import type { InputPiece } from '../session-engine.ts';

/** Bytes kept of one request: its beginning and its end. */
const mostOfPiece = 16 * 1024;
const mostPieces = 64;
const mostBytes = 64 * 1024;

type KeptPiece = Omit<InputPiece, 'kept'> & { readonly kept: readonly Buffer[] };

export class RecentInput {
  readonly #budget: Pick<MemoryBudget, 'take' | 'give'>;
  #pieces: KeptPiece[] = [];
  #bytes = 0;

  constructor(budget: Pick<MemoryBudget, 'take' | 'give'>) {
    this.#budget = budget;
  }

  get pieces(): readonly InputPiece[] {
    return this.#pieces.map((piece) => ({ ...piece, kept: piece.kept.map((bytes) => bytes.toString('base64')) }));
  }

  /**
   * @param place of the first byte
   * @param seq the last frame of output by then
   */
  add(bytes: Buffer, place: Pick<InputPiece, 'offset' | 'aside'>, seq: number): void {
    const isWhole = bytes.length <= mostOfPiece;
    const half = mostOfPiece / 2;
    // Copies: the bytes are the caller's, and their memory is much larger than they are.
    const kept = isWhole
      ? [Buffer.from(bytes)]
      : [Buffer.from(bytes.subarray(0, half)), Buffer.from(bytes.subarray(-half))];
    this.#pieces.push({ seq, ...place, at: Date.now(), length: bytes.length, kept });
    this.#count(Math.min(bytes.length, mostOfPiece));
    while (this.#pieces.length > mostPieces || this.#bytes > mostBytes) {
      const oldest = this.#pieces.shift();
      this.#count(-Math.min(oldest?.length ?? 0, mostOfPiece));
    }
  }

  /** Nobody has anything to answer any more. */
  clear(): void {
    this.#pieces = [];
    this.#count(-this.#bytes);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (bytes > 0) {
      this.#budget.take(bytes);
    } else {
      this.#budget.give(-bytes);
    }
  }
}
