/** What a client saw of one process's output: every frame, or only figures about a stream too large to keep. */
import { createHash, type Hash } from 'node:crypto';

export interface OutputFrame {
  readonly stream: 'stdout' | 'stderr';
  readonly seq: number;
  readonly data: Buffer;
  /** The frame as it came, without its line end. */
  readonly raw: string;
}

export interface ExitFrame {
  readonly stream: 'exit';
  readonly seq: number;
  readonly exitCode: number;
  readonly signal?: string;
  readonly killedBy?: string;
  readonly raw: string;
}

export type StreamFrame = OutputFrame | ExitFrame;

/** Frames `after`+1 … `before`-1 did not come. */
export interface Gap {
  readonly after: number;
  readonly before: number;
}

/** The frames of one process in order of arrival, over all connections that were given this record. */
export class StreamRecord {
  readonly processId: string;
  /** As they came, duplicates of a replay included; empty when only figures are kept. */
  readonly frames: StreamFrame[] = [];
  /** Frames that came, duplicates included. */
  count = 0;
  /** Highest `seq` seen; what `fromSeq` of a reattach wants. */
  lastSeq = 0;
  /** Frames with a `seq` that was seen before or skipped. They count in none of the sums below. */
  duplicates = 0;
  readonly gaps: Gap[] = [];
  exit: ExitFrame | undefined;
  /** Frames after the exit frame other than a replay. There must be none. */
  afterExit = 0;
  /** Decoded bytes. */
  readonly bytes = { stdout: 0, stderr: 0 };
  readonly #keep: boolean;
  readonly #hashes: Record<'stdout' | 'stderr', Hash> = { stdout: createHash('sha256'), stderr: createHash('sha256') };

  constructor(processId: string, keep: boolean) {
    this.processId = processId;
    this.#keep = keep;
  }

  add(frame: StreamFrame): void {
    this.count++;
    if (this.#keep) {
      this.frames.push(frame);
    }
    if (frame.seq <= this.lastSeq) {
      this.duplicates++;
      return;
    }
    if (frame.seq !== this.lastSeq + 1) {
      this.gaps.push({ after: this.lastSeq, before: frame.seq });
    }
    this.lastSeq = frame.seq;
    if (this.exit !== undefined) {
      this.afterExit++;
    }
    if (frame.stream === 'exit') {
      this.exit = frame;
    } else {
      this.bytes[frame.stream] += frame.data.length;
      this.#hashes[frame.stream].update(frame.data);
    }
  }

  /** SHA-256 (hex) of the output so far. */
  sha256(stream: 'stdout' | 'stderr' = 'stdout'): string {
    return this.#hashes[stream].copy().digest('hex');
  }

  /** The output so far. @throws when the frames were not kept */
  output(stream: 'stdout' | 'stderr' = 'stdout'): Buffer {
    if (!this.#keep && this.count > 0) {
      throw new Error(`the frames of ${this.processId} were not kept; compare sha256() instead`);
    }
    let last = 0;
    const pieces: Buffer[] = [];
    for (const frame of this.frames) {
      if (frame.seq > last) {
        last = frame.seq;
        if (frame.stream === stream) {
          pieces.push(frame.data);
        }
      }
    }
    return Buffer.concat(pieces);
  }

  text(stream: 'stdout' | 'stderr' = 'stdout'): string {
    return this.output(stream).toString();
  }
}

const head = Buffer.from('{"type":"stream","processId":"');
const afterId = Buffer.from('","stream":"');
const ids = new Map<string, string>();

/**
 * Reads one line as a stream frame, `undefined` when it is none. The fast way round `JSON.parse` for 1 GB of frames:
 * the position of every part is fixed (spec process.md §4), and a line that departs from it goes through `JSON.parse`.
 * @param raw the line as text when frames are kept; without it output frames have an empty `raw`
 */
export function readStreamFrame(line: Buffer, raw?: string): (StreamFrame & { processId: string }) | undefined {
  if (line.length < head.length || line.compare(head, 0, head.length, 0, head.length) !== 0) {
    return undefined;
  }
  const idEnd = line.indexOf(afterId, head.length, 'latin1');
  const text = idEnd < 0 ? '' : line.toString('latin1', idEnd, idEnd + 60);
  const match = /^","stream":"(stdout|stderr)","seq":(\d{1,15}),"data":"/.exec(text);
  if (match === null || !line.subarray(-2).equals(Buffer.from('"}'))) {
    return parseSlowly(line);
  }
  const idText = line.toString('utf8', head.length - 1, idEnd + 1);
  let processId = ids.get(idText);
  if (processId === undefined) {
    processId = JSON.parse(idText) as string;
    ids.set(idText, processId);
  }
  const data = Buffer.from(line.toString('latin1', idEnd + match[0].length, line.length - 2), 'base64');
  return {
    processId,
    stream: match[1] as 'stdout' | 'stderr',
    seq: Number(match[2]),
    data,
    raw: raw ?? '',
  };
}

function parseSlowly(line: Buffer): StreamFrame & { processId: string } {
  const raw = line.toString();
  const { processId, stream, seq, data, exitCode, signal, killedBy } = JSON.parse(raw);
  if (stream === 'exit') {
    return { processId, stream, seq, exitCode, signal, killedBy, raw };
  }
  return { processId, stream, seq, data: Buffer.from(data, 'base64'), raw };
}
