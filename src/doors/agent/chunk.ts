/** Output as the server gets it: a frame of the session is a chunk, and has its number (spec agent.md §7). */

export type Chunk = OutputChunk | ExitChunk;

export interface OutputChunk {
  readonly seq: number;
  readonly stream: 'stdout' | 'stderr';
  /** When it was read, in milliseconds since the epoch. */
  readonly ts: number;
  readonly data: Uint8Array;
}

export interface ExitChunk {
  readonly seq: number;
  readonly stream: 'exit';
  readonly ts: number;
  /** `null` when a signal ended the process, or nobody knows how it ended. */
  readonly exitCode: number | null;
  /** With its prefix, e.g. `SIGKILL`. */
  readonly signal: string | null;
}

/** What a chunk holds in memory, roughly. */
export function sizeOf(chunk: Chunk): number {
  return 100 + ('data' in chunk ? chunk.data.length : 0);
}

/** Most of one request. */
const mostChunks = 64;
const mostBytes = 512 * 1024;

/** Characters of a chunk without its data. */
const shellBytes = 90;

function sentBytes(chunk: Chunk): number {
  return shellBytes + ('data' in chunk ? Math.ceil(chunk.data.length / 3) * 4 : 0);
}

/**
 * The chunks at the front of `queue` that go into one request: without a gap between them.
 * @param most fewer than usual, after the server found a request too large
 */
export function nextBatch(queue: readonly Chunk[], most: number = mostChunks): readonly Chunk[] {
  const batch: Chunk[] = [];
  let bytes = shellBytes;
  for (const chunk of queue) {
    const before = batch.at(-1);
    bytes += sentBytes(chunk);
    const fits = batch.length < most && bytes <= mostBytes && (before === undefined || chunk.seq === before.seq + 1);
    if (!fits && before !== undefined) {
      break;
    }
    batch.push(chunk);
  }
  return batch;
}

export function bodyOf(sessionId: string, batch: readonly Chunk[]): object {
  return {
    sessionId,
    firstSeq: batch[0]?.seq,
    lastSeq: batch.at(-1)?.seq,
    chunks: batch.map((chunk) => (chunk.stream === 'exit' ? asSent(chunk) : asSentOutput(chunk))),
  };
}

function asSent({ seq, stream, ts, exitCode, signal }: ExitChunk): object {
  return { seq, stream, ts, exitCode, signal };
}

function asSentOutput({ seq, stream, ts, data }: OutputChunk): object {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { seq, stream, ts, data: bytes.toString('base64') };
}
