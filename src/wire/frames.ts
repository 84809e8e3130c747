/** Stream and exit frames as bytes (spec process.md §4). A frame is serialised once; replays send the same bytes. */
import { type Base64Encoder, createEncoder } from './base64-encoder/encoder.ts';
import { encodeString } from './json-writer.ts';

/** One read of the child's output is one frame; larger ones would break clients' buffers (spec process.md §4). */
export const maxFrameData = 32_768;

const dataKey = ',"data":"';
const frameEnd = '"}\n';

export type OutputName = 'stdout' | 'stderr';

/** How a process ended. */
export interface ExitStatus {
  /** -1 for a process that a signal ended. */
  readonly code: number;
  /** SIG-prefixed. */
  readonly signal: string | undefined;
}

/** Who asked for the end. */
export type KilledBy = 'client' | 'shutdown';

let encoder: Base64Encoder | undefined;

/** The encoder of all frames; made for the first process, so that a daemon without one does not pay for it. */
export function outputEncoder(): Base64Encoder {
  encoder ??= createEncoder(maxFrameData);
  return encoder;
}

/** Frames of one process. */
export class FrameWriter {
  readonly #encoder = outputEncoder();
  /** Texts with one character per byte, so that one latin1 write puts the exact UTF-8 bytes down. */
  readonly #heads: Readonly<Record<OutputName, string>>;
  readonly #exitHead: string;

  constructor(processId: string) {
    const id = encodeString(processId);
    const head = (stream: string): string =>
      Buffer.from(`{"type":"stream","processId":${id},"stream":"${stream}","seq":`, 'utf8').toString('latin1');
    this.#heads = { stdout: head('stdout'), stderr: head('stderr') };
    this.#exitHead = head('exit');
  }

  /** Bytes the frame will take, its newline included. */
  dataSize(stream: OutputName, seq: number, dataBytes: number): number {
    return this.#heads[stream].length + decimalDigits(seq) + dataKey.length + base64Size(dataBytes) + frameEnd.length;
  }

  /** Writes the frame at `offset`; the target has `dataSize` bytes of room there. */
  writeData(target: Buffer, offset: number, stream: OutputName, seq: number, data: Buffer): void {
    let at = offset;
    at += target.latin1Write(this.#heads[stream] + seq + dataKey, at);
    at += this.#encoder.write(data, target, at);
    target.latin1Write(frameEnd, at);
  }

  /** @param killedBy written only where the profile's exit frame names signals (spec process.md §4, N) */
  exit(seq: number, status: ExitStatus, named: boolean, killedBy: KilledBy | undefined): Buffer {
    let text = `${this.#exitHead}${seq},"exitCode":${status.code}`;
    if (named && status.signal !== undefined) {
      text += `,"signal":"${status.signal}"`;
    }
    if (named && killedBy !== undefined) {
      text += `,"killedBy":"${killedBy}"`;
    }
    return Buffer.from(`${text}}\n`, 'latin1');
  }
}

function base64Size(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

function decimalDigits(value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) {
    digits++;
  }
  return digits;
}
