/**
 * Finds where the frames of a zstd file begin and end (RFC 8878 §3.1), because neither decoder does: Node's stops after the
 * first frame, or skippable frame, and drops the rest without an error; fzstd decodes wide windows wrongly (src/install/zstd.ts).
 */
import { InstallFailure } from './failure.ts';

export type FramePiece =
  /** Comes before the frame's bytes. `windowBytes`: what a decoder must remember of its output. */
  | { readonly kind: 'start'; readonly windowBytes: number }
  /** Bytes of the frame, its header included. Shares memory with what was pushed. */
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'end' };

const frameMagic = 0xfd2fb528;
/** The first of sixteen values. Such frames hold data of other programs (pzstd keeps sizes there). */
const skippableMagic = 0x184d2a50;

const reservedBlockType = 3;
const runLengthBlockType = 1;

/** What the next bytes are. */
type State = 'magic' | 'descriptor' | 'header' | 'blockHeader' | 'blockBody' | 'checksum' | 'skipLength' | 'skipBody';

export class FrameSplitter {
  #state: State = 'magic';
  /** Bytes of the current field, header fields since the magic number. */
  #head: Buffer = Buffer.alloc(0);
  #missing = 4;
  #hasChecksum = false;
  #lastBlock = false;
  #frames = 0;

  /** @throws InstallFailure for what cannot be a zstd file */
  *push(chunk: Buffer): Generator<FramePiece> {
    let at = 0;
    /** Where the bytes of the frame begin that have not been handed on. */
    let from = 0;
    while (at < chunk.length) {
      const taken = chunk.subarray(at, at + this.#missing);
      at += taken.length;
      this.#missing -= taken.length;
      if (isField(this.#state)) {
        this.#head = Buffer.concat([this.#head, taken]);
      }
      if (this.#missing > 0) {
        break;
      }

      const before = this.#state;
      this.#advance();
      // A block or a checksum may be empty; the loop above wants at least one byte.
      while (this.#missing === 0) {
        this.#advance();
      }

      if (before === 'header' || (before === 'descriptor' && this.#state === 'blockHeader')) {
        yield { kind: 'start', windowBytes: windowOf(this.#head) };
        yield { kind: 'bytes', bytes: this.#head };
        this.#head = Buffer.alloc(0);
        from = at;
      } else if (isInsideBlocks(before) && this.#state === 'magic') {
        yield { kind: 'bytes', bytes: chunk.subarray(from, at) };
        yield { kind: 'end' };
      }
    }
    if (isInsideBlocks(this.#state) && from < chunk.length) {
      yield { kind: 'bytes', bytes: chunk.subarray(from) };
    }
  }

  /** @throws InstallFailure when what was pushed ends inside a frame, or holds none */
  finish(): void {
    if (this.#frames === 0 || this.#state !== 'magic' || this.#head.length > 0) {
      throw new InstallFailure('unexpected EOF');
    }
  }

  /** The current field is complete. */
  #advance(): void {
    switch (this.#state) {
      case 'magic': {
        const magic = this.#head.readUInt32LE(0);
        if (magic === frameMagic) {
          this.#expect('descriptor', 1);
        } else if ((magic & 0xffff_fff0) >>> 0 === skippableMagic) {
          this.#expect('skipLength', 4, 'fresh');
        } else {
          throw new InstallFailure('invalid input: magic number mismatch');
        }
        return;
      }
      case 'descriptor': {
        const descriptor = descriptorOf(this.#head);
        this.#hasChecksum = (descriptor & 0b100) !== 0;
        this.#expect('header', headerBytes(descriptor));
        return;
      }
      case 'header':
        this.#expect('blockHeader', 3);
        return;
      case 'blockHeader': {
        const header = this.#head.readUIntLE(0, 3);
        const type = (header >> 1) & 3;
        if (type === reservedBlockType) {
          throw new InstallFailure('invalid input: reserved block type encountered');
        }
        this.#lastBlock = (header & 1) === 1;
        this.#expect('blockBody', type === runLengthBlockType ? 1 : header >> 3, 'fresh');
        return;
      }
      case 'blockBody':
        if (!this.#lastBlock) {
          this.#expect('blockHeader', 3);
        } else if (this.#hasChecksum) {
          this.#expect('checksum', 4);
        } else {
          this.#endFrame();
        }
        return;
      case 'checksum':
        this.#endFrame();
        return;
      case 'skipLength':
        this.#expect('skipBody', this.#head.readUInt32LE(0), 'fresh');
        return;
      case 'skipBody':
        this.#expect('magic', 4);
        return;
    }
  }

  #endFrame(): void {
    this.#frames++;
    this.#expect('magic', 4, 'fresh');
  }

  /** @param head `fresh`: the bytes gathered so far are not needed any more */
  #expect(state: State, bytes: number, head?: 'fresh'): void {
    this.#state = state;
    this.#missing = bytes;
    if (head === 'fresh') {
      this.#head = Buffer.alloc(0);
    }
  }
}

function isField(state: State): boolean {
  return state !== 'blockBody' && state !== 'skipBody' && state !== 'checksum';
}

function isInsideBlocks(state: State): boolean {
  return state === 'blockHeader' || state === 'blockBody' || state === 'checksum';
}

/** Bytes between the descriptor and the first block: window, dictionary and content size, each of which may be absent. */
function headerBytes(descriptor: number): number {
  // The flags 0, 1, 2 and 3 mean 0, 1, 2 and 4 bytes.
  const dictionary = (1 << (descriptor & 0b11)) >> 1;
  return (isSingleSegment(descriptor) ? 0 : 1) + dictionary + contentSizeBytes(descriptor);
}

function contentSizeBytes(descriptor: number): number {
  const flag = descriptor >> 6;
  // The flags 1, 2 and 3 mean 2, 4 and 8 bytes.
  return flag === 0 ? Number(isSingleSegment(descriptor)) : 2 ** flag;
}

/** The byte behind the magic number. */
function descriptorOf(head: Buffer): number {
  return head.readUInt8(4);
}

function isSingleSegment(descriptor: number): boolean {
  return (descriptor & 0b10_0000) !== 0;
}

/** @param head magic number, descriptor, header */
function windowOf(head: Buffer): number {
  const descriptor = descriptorOf(head);
  if (!isSingleSegment(descriptor)) {
    const window = head.readUInt8(5);
    const base = 2 ** (10 + (window >> 3));
    return base + (base / 8) * (window & 7);
  }
  // A decoder must remember the whole of a single segment.
  const bytes = contentSizeBytes(descriptor);
  const at = head.length - bytes;
  if (bytes === 8) {
    return Number(head.readBigUInt64LE(at));
  }
  return head.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
}
