/**
 * Bytes from the channel to messages. They are read into slabs, and a message is handed out as a view of them, so that
 * frames on their way to a client are not copied. A slab that somebody still holds is not written to again.
 */
import { constants } from 'node:buffer';
import { type MessageName, messageNamed } from './messages.ts';

/** type, three zeros, number, bytes of JSON, bytes of data: little-endian, the last three with 32 bits each. */
export const headerBytes = 16;
/** The longest text and the most data of a message; one that says more is broken. */
export interface MessageLimits {
  readonly text: number;
  readonly data: number;
}

/** A list of sessions tells the arguments of all of them, so a text may have what the runtime can hold as one. */
export const usualLimits: MessageLimits = { text: constants.MAX_STRING_LENGTH, data: 16 * 1024 * 1024 };

const slabBytes = 1024 * 1024;
const mostSpares = 3;
/** The first slab, and what a fresh one has beyond the message that has begun. */
const leastRoomBytes = 64 * 1024;
/** No read is of less. */
const leastReadBytes = 16 * 1024;

export interface Message {
  readonly name: MessageName;
  readonly id: number;
  /** The JSON value; `undefined` when there is none. */
  readonly value: unknown;
  /** Valid during the call only, unless it is held. */
  readonly data: Buffer;
  /** Keeps `data` valid until the function it returns is called. */
  hold(): () => void;
}

/** The peer does not speak as agreed. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

interface ReadSlab {
  readonly bytes: Buffer;
  holds: number;
}

export class MessageReader {
  limits = usualLimits;
  #slab: ReadSlab = { bytes: Buffer.allocUnsafeSlow(leastRoomBytes), holds: 0 };
  /** Slabs that nobody holds any more: fresh memory is dearer than the copying. */
  readonly #spares: ReadSlab[] = [];
  /** Where the next message begins, and where the next read goes. */
  #start = 0;
  #end = 0;

  /** Where the next bytes are to be put. */
  room(): Buffer {
    if (this.#start === this.#end && this.#slab.holds === 0) {
      this.#start = 0;
      this.#end = 0;
    }
    const left = this.#slab.bytes.length - this.#end;
    if (left < Math.min(leastRoomBytes, Math.max(leastReadBytes, this.#missing()))) {
      this.#moveOn();
    }
    return this.#slab.bytes.subarray(this.#end);
  }

  /** So many bytes were put into the room. */
  filled(length: number): void {
    this.#end += length;
  }

  /** Copies bytes that were read elsewhere. */
  push(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const copied = bytes.copy(this.room(), 0, at);
      this.filled(copied);
      at += copied;
    }
  }

  /** The next whole message; `undefined`: its end has not come. @throws ChannelError */
  next(): Message | undefined {
    const size = this.#size();
    if (size === 'tooLong') {
      const [text, data] = this.#parts();
      const { limits } = this;
      throw new ChannelError(
        `message of ${text} + ${data} bytes, the limits are ${limits.text} of text and ${limits.data} of data`,
      );
    }
    if (size === undefined || this.#end - this.#start < size) {
      return undefined;
    }
    const { bytes } = this.#slab;
    const at = this.#start;
    const textEnd = at + headerBytes + bytes.readUInt32LE(at + 8);
    const name = messageNamed(bytes[at] ?? 0);
    if (name === undefined) {
      throw new ChannelError(`message of unknown type ${bytes[at]}`);
    }
    this.#start = at + size;
    const slab = this.#slab;
    return {
      name,
      id: bytes.readUInt32LE(at + 4),
      value: textEnd === at + headerBytes ? undefined : parse(name, bytes, at + headerBytes, textEnd),
      data: bytes.subarray(textEnd, this.#start),
      hold: () => this.#hold(slab),
    };
  }

  #hold(slab: ReadSlab): () => void {
    slab.holds++;
    return () => {
      slab.holds--;
      if (slab.holds === 0 && slab !== this.#slab) {
        this.#keep(slab);
      }
    };
  }

  /** Bytes of the message that begins at `#start`; `undefined`: its header has not come. */
  #size(): number | 'tooLong' | undefined {
    if (this.#end - this.#start < headerBytes) {
      return undefined;
    }
    const [text, data] = this.#parts();
    return text > this.limits.text || data > this.limits.data ? 'tooLong' : headerBytes + text + data;
  }

  /** Bytes of text and data, by the header at `#start`. */
  #parts(): [text: number, data: number] {
    const { bytes } = this.#slab;
    return [bytes.readUInt32LE(this.#start + 8), bytes.readUInt32LE(this.#start + 12)];
  }

  /** Bytes of the message that begins at `#start` which have not come; at least one. There is no room for one that is too long. */
  #missing(): number {
    const size = this.#size() ?? headerBytes;
    return size === 'tooLong' ? 1 : Math.max(1, size - (this.#end - this.#start));
  }

  /** Goes on at the front of a slab with room for the whole message that has begun, or for as much again as has come of it. */
  #moveOn(): void {
    const begun = this.#slab.bytes.subarray(this.#start, this.#end);
    const wanted = begun.length + Math.min(this.#missing(), Math.max(slabBytes, begun.length));
    if (this.#slab.holds === 0 && wanted + leastReadBytes <= this.#slab.bytes.length) {
      this.#slab.bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const next = this.#fresh(wanted + leastRoomBytes);
      begun.copy(next.bytes);
      const left = this.#slab;
      this.#slab = next;
      if (left.holds === 0) {
        this.#keep(left);
      }
    }
    this.#start = 0;
    this.#end = begun.length;
  }

  #keep(slab: ReadSlab): void {
    if (slab.bytes.length === slabBytes && this.#spares.length < mostSpares) {
      this.#spares.push(slab);
    }
  }

  #fresh(atLeast: number): ReadSlab {
    const spare = atLeast <= slabBytes ? this.#spares.pop() : undefined;
    if (spare !== undefined) {
      return spare;
    }
    return { bytes: Buffer.allocUnsafeSlow(Math.max(slabBytes, atLeast)), holds: 0 };
  }
}

function parse(name: MessageName, bytes: Buffer, from: number, to: number): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', from, to));
  } catch (error) {
    throw new ChannelError(`message "${name}" whose value is not JSON`, { cause: error });
  }
}
