/**
 * Output as base64, straight into the frame it belongs to. By a small WebAssembly routine that needs no string: with one,
 * a flood fills the young generation again and again (docs/performance.md). Where WebAssembly is missing (`--jitless`, a
 * limit on address space), by the runtime's own encoder; both give the same bytes.
 */
import { encodeWasm } from './encode-wasm.ts';

export interface Base64Encoder {
  /** Data that lies in here is encoded without being copied first. The bytes right behind it may be changed by that. */
  readonly input: Buffer;
  /**
   * Writes the text of `data`, at most `input.length` bytes, to `target` at `offset`.
   * @returns how many bytes it has
   */
  write(data: Buffer, target: Buffer, offset: number): number;
}

/** @param maxBytes largest piece of data */
export function createEncoder(maxBytes: number): Base64Encoder {
  return wasmEncoder(maxBytes) ?? stringEncoder(maxBytes);
}

/** The constants of encode.wat come first. */
const inputAt = 128;
/** encode.wat reads and clears beyond its input, and writes beyond its text. */
const slackBytes = 16;
const pageBytes = 65_536;

interface EncodeExports {
  readonly memory: WebAssembly.Memory;
  encode(from: number, length: number, to: number): number;
}

/** `undefined` where there is no WebAssembly to be had. */
export function wasmEncoder(maxBytes: number): Base64Encoder | undefined {
  let memory: WebAssembly.Memory;
  let encode: EncodeExports['encode'];
  try {
    const module = new WebAssembly.Module(Buffer.from(encodeWasm, 'base64'));
    ({ memory, encode } = new WebAssembly.Instance(module).exports as unknown as EncodeExports);
    const textAt = inputAt + maxBytes + slackBytes;
    const missing = textAt + Math.ceil(maxBytes / 3) * 4 + slackBytes - memory.buffer.byteLength;
    if (missing > 0) {
      memory.grow(Math.ceil(missing / pageBytes));
    }
  } catch {
    return undefined;
  }
  const bytes = Buffer.from(memory.buffer);
  const input = bytes.subarray(inputAt, inputAt + maxBytes);
  const textAt = inputAt + maxBytes + slackBytes;
  return {
    input,
    write(data, target, offset) {
      let from = data.byteOffset;
      if (data.buffer !== bytes.buffer) {
        data.copy(bytes, inputAt);
        from = inputAt;
      }
      return bytes.copy(target, offset, textAt, encode(from, data.length, textAt));
    },
  };
}

/** The runtime's own encoder: a string is made and written down. */
export function stringEncoder(maxBytes: number): Base64Encoder {
  return {
    input: Buffer.allocUnsafeSlow(maxBytes),
    write: (data, target, offset) => target.latin1Write(data.base64Slice(0, data.length), offset),
  };
}
