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
  /** What each frame begins with, once it is needed: most processes write to one output only. */
  readonly #heads: Partial<Record<OutputName | 'exit', string>> = {};
  readonly #processId: string;

  constructor(processId: string) {
    this.#processId = processId;
  }

  /** Text with one character per byte, so that one latin1 write puts the exact UTF-8 bytes down. */
  #head(stream: OutputName | 'exit'): string {
    const known = this.#heads[stream];
    if (known !== undefined) {
      return known;
    }
    const id = encodeString(this.#processId);
    const head = Buffer.from(`{"type":"stream","processId":${id},"stream":"${stream}","seq":`).toString('latin1');
    this.#heads[stream] = head;
    return head;
  }

  /** Bytes the frame will take, its newline included. */
  dataSize(stream: OutputName, seq: number, dataBytes: number): number {
    return this.#head(stream).length + decimalDigits(seq) + dataKey.length + base64Size(dataBytes) + frameEnd.length;
  }

  /** Writes the frame at `offset`; the target has `dataSize` bytes of room there. */
  writeData(target: Buffer, offset: number, stream: OutputName, seq: number, data: Buffer): void {
    let at = offset;
    at += target.latin1Write(this.#head(stream) + seq + dataKey, at);
    at += this.#encoder.write(data, target, at);
    target.latin1Write(frameEnd, at);
  }

  /** @param killedBy written only where the profile's exit frame names signals (spec process.md §4, N) */
  exit(seq: number, status: ExitStatus, named: boolean, killedBy: KilledBy | undefined): Buffer {
    let text = `${this.#head('exit')}${seq},"exitCode":${status.code}`;
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
