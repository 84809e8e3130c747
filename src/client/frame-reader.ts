/** Frames out of the bytes that a daemon sends (spec wire.md §4.5, process.md §4, extensions.md §2.2). */
import { LineReader } from '../wire/line-reader.ts';
import { HoldfastError } from './errors.ts';

export interface ReplyFrame {
  readonly type: 'reply';
  readonly id: unknown;
  readonly result: unknown;
  readonly error: { readonly code: number; readonly message: string } | undefined;
}

export interface OutputFrame {
  readonly type: 'output';
  readonly processId: string;
  readonly stream: 'stdout' | 'stderr';
  readonly seq: number;
  readonly data: Uint8Array;
}

export interface ExitFrame {
  readonly type: 'exit';
  readonly processId: string;
  readonly seq: number;
  readonly exitCode: number;
  readonly signal: string | undefined;
  readonly killedBy: string | undefined;
}

/** A frame of `holdfast.watch`, or the `gap` of an observed session. */
export interface PushedFrame {
  readonly type: 'pushed';
  readonly event: string;
  readonly processId: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type Frame = ReplyFrame | OutputFrame | ExitFrame | PushedFrame;

/** A reply may be as long as the longest string of the runtime; what is longer was sent by no daemon. */
const longestFrame = 2 ** 29 - 32;

const outputHead = Buffer.from('{"type":"stream","processId":"');
const streamKey = Buffer.from('","stream":"std');
const seqKey = ',"seq":';
const dataKey = ',"data":"';
const [zero, nine] = [0x30, 0x39];

/** What an output frame of one process and one stream begins with, up to its number. */
interface KnownHead {
  readonly bytes: Buffer;
  readonly processId: string;
  readonly stream: 'stdout' | 'stderr';
}

/** Bytes in, frames out. An unterminated last line is no frame: a cut connection leaves one, and the frame comes again. */
export class FrameReader {
  readonly #lines = new LineReader({ maxBytes: longestFrame });
  /** The last one first: frames of one stream come in a row. */
  #head: KnownHead | undefined;
  #otherHead: KnownHead | undefined;

  push(chunk: Buffer): void {
    this.#lines.push(chunk);
  }

  /** The next whole frame. @throws HoldfastError `protocol` when a line is none */
  next(): Frame | undefined {
    const line = this.#lines.next();
    if (line === undefined) {
      if (this.#lines.overlong) {
        throw new HoldfastError('protocol', `a frame of more than ${longestFrame} bytes; what answers is no daemon`);
      }
      return undefined;
    }
    return this.#outputFrame(line) ?? parseFrame(line);
  }

  /** The fast way round `JSON.parse` for output, whose parts stand in a fixed order; `undefined`: take the slow one. */
  #outputFrame(line: Buffer): OutputFrame | undefined {
    const head = this.#headOf(line);
    if (head === undefined) {
      return undefined;
    }
    let at = head.bytes.length;
    let seq = 0;
    for (let digit = line[at] ?? 0; digit >= zero && digit <= nine; digit = line[++at] ?? 0) {
      seq = seq * 10 + (digit - zero);
    }
    const dataStart = at + dataKey.length;
    const dataEnd = line.length - 2;
    if (
      dataEnd < dataStart ||
      line.latin1Slice(at, dataStart) !== dataKey ||
      line.latin1Slice(dataEnd, line.length) !== '"}'
    ) {
      return undefined;
    }
    const data = Buffer.from(line.latin1Slice(dataStart, dataEnd), 'base64');
    return { type: 'output', processId: head.processId, stream: head.stream, seq, data };
  }

  #headOf(line: Buffer): KnownHead | undefined {
    if (beginsWith(line, this.#head?.bytes)) {
      return this.#head;
    }
    const found = beginsWith(line, this.#otherHead?.bytes) ? this.#otherHead : readHead(line);
    if (found !== undefined) {
      this.#otherHead = this.#head;
      this.#head = found;
    }
    return found;
  }
}

function beginsWith(line: Buffer, head: Buffer | undefined): boolean {
  return head !== undefined && line.length > head.length && line.compare(head, 0, head.length, 0, head.length) === 0;
}

function readHead(line: Buffer): KnownHead | undefined {
  if (!beginsWith(line, outputHead)) {
    return undefined;
  }
  // The id is JSON text without a raw quote, so the key behind it cannot be part of it.
  const idEnd = line.indexOf(streamKey, outputHead.length);
  const streamEnd = idEnd < 0 ? -1 : line.indexOf('"', idEnd + streamKey.length);
  if (streamEnd < 0) {
    return undefined;
  }
  const stream = line.latin1Slice(idEnd + streamKey.length - 3, streamEnd);
  const end = streamEnd + 1 + seqKey.length;
  if ((stream !== 'stdout' && stream !== 'stderr') || line.length < end) {
    return undefined;
  }
  if (line.latin1Slice(streamEnd + 1, end) !== seqKey) {
    return undefined;
  }
  const processId: unknown = JSON.parse(line.toString('utf8', outputHead.length - 1, idEnd + 1));
  return { bytes: Buffer.from(line.subarray(0, end)), processId: String(processId), stream };
}

function parseFrame(line: Buffer): Frame {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch (cause) {
    throw notAFrame(line, cause);
  }
  if (typeof value !== 'object' || value === null) {
    throw notAFrame(line);
  }
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields.type === 'stream') {
    return streamFrame(fields) ?? fail(line);
  }
  if (fields.type === 'holdfast') {
    return { type: 'pushed', event: String(fields.event), processId: String(fields.processId), fields };
  }
  if (fields.jsonrpc === '2.0' && ('result' in fields || 'error' in fields)) {
    const error = fields.error as ReplyFrame['error'];
    return { type: 'reply', id: fields.id, result: fields.result, error };
  }
  throw notAFrame(line);
}

function streamFrame(fields: Readonly<Record<string, unknown>>): OutputFrame | ExitFrame | undefined {
  const { processId, stream, seq, data, exitCode } = fields;
  if (typeof processId !== 'string' || typeof seq !== 'number') {
    return undefined;
  }
  if (stream === 'exit' && typeof exitCode === 'number') {
    const { signal, killedBy } = fields as { readonly signal?: string; readonly killedBy?: string };
    return { type: 'exit', processId, seq, exitCode, signal, killedBy };
  }
  return (stream === 'stdout' || stream === 'stderr') && typeof data === 'string'
    ? { type: 'output', processId, stream, seq, data: Buffer.from(data, 'base64') }
    : undefined;
}

function fail(line: Buffer): never {
  throw notAFrame(line);
}

const shownBytes = 80;

function notAFrame(line: Buffer, cause?: unknown): HoldfastError {
  const shown = JSON.stringify(line.toString('utf8', 0, shownBytes));
  return new HoldfastError(
    'protocol',
    `what answers does not speak the protocol of the daemon: ${shown}; look for a start script of the shell that prints something`,
    { cause },
  );
}
