/**
 * Memory for the windows of sessions that the daemon in front reads too, so that frames need not cross the channel (docs/keeper.md
 * "Frames in shared memory"). It is made when the first session prints much.
 */
import type { SharedMemory, WrittenMemory } from '../../../platform/shared-memory.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpoint } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import { maxSlabBytes } from '../../engine/local/replay-window.ts';
import type { Block, BlockSource } from '../../engine/local/slab.ts';
import type { SentMemory } from '../channel/values.ts';

/** A multiple of what every system maps by: 64 KiB divide 16 blocks. */
const blocksPerSegment = 32;
const segmentBytes = blocksPerSegment * maxSlabBytes;
/** Free blocks that keep their pages; the system gets those of all others. */
const mostWarm = 8;

export interface SharedBlocksOptions {
  /** `undefined`: this system has none. */
  readonly memory: SharedMemory | undefined;
  readonly log: Pick<Log, 'warn'>;
  /** There is memory from now on. */
  onMade(): void;
}

export class SharedBlocks implements BlockSource {
  readonly #options: SharedBlocksOptions;
  #memory: WrittenMemory | undefined;
  #failed = false;
  #segments = 0;
  /** Those that were used last are at the end; the last `mostWarm` have their pages. */
  readonly #free: { readonly bytes: Buffer; readonly sharedAt: number }[] = [];

  constructor(options: SharedBlocksOptions) {
    this.#options = options;
  }

  /** What the daemon is told; `undefined`: there is none. */
  get told(): SentMemory | undefined {
    return this.#memory === undefined ? undefined : { address: this.#memory.address, segmentBytes };
  }

  take(bytes: number): Block | undefined {
    if (bytes !== maxSlabBytes || !this.#ensureFree()) {
      return undefined;
    }
    const block = this.#free.pop();
    return block === undefined ? undefined : { ...block, giveBack: () => this.#takeBack(block) };
  }

  #takeBack(block: { readonly bytes: Buffer; readonly sharedAt: number }): void {
    this.#free.push(block);
    const cold = this.#free.at(-1 - mostWarm);
    if (cold !== undefined) {
      this.#memory?.discard(cold.bytes);
    }
  }

  #ensureFree(): boolean {
    if (this.#free.length > 0) {
      return true;
    }
    const { memory } = this.#options;
    if (memory === undefined || this.#failed) {
      return false;
    }
    try {
      this.#addSegment(memory);
      return true;
    } catch (error) {
      this.#failed = true;
      this.#options.log.warn(
        'keeper',
        `no shared memory for output (${messageOf(error)}); it crosses the channel as bytes, which takes more CPU time`,
      );
      return false;
    }
  }

  #addSegment(memory: SharedMemory): void {
    const isFirst = this.#memory === undefined;
    this.#memory ??= memory.create(segmentBytes);
    failpoint('keeper.segment.before');
    const segment = this.#memory.addSegment();
    const start = this.#segments * segmentBytes;
    this.#segments++;
    for (let at = segmentBytes - maxSlabBytes; at >= 0; at -= maxSlabBytes) {
      this.#free.push({ bytes: segment.subarray(at, at + maxSlabBytes), sharedAt: start + at });
    }
    if (isFirst) {
      this.#options.onMade();
    }
  }
}
