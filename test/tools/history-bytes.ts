/** The output of a session against the child's own log: every frame at its place, byte for byte. */
import { createHash } from 'node:crypto';
import type { Report } from './history.ts';
import { type Content, type HistoryRecord, type RecordOf, recordsOf } from './history-records.ts';
import { Noise, noiseOf } from './noise.ts';

/** Most bytes a frame can carry (spec process.md §4). */
const frameBytes = 32_768;
const streams = ['stdout', 'stderr'] as const;

export function checkChildBytes(records: readonly HistoryRecord[], session: string, report: Report): void {
  const frames = distinctFrames(records, session, report);
  const logs = { stdout: new ChildStream(), stderr: new ChildStream() };
  let logged = false;
  for (const write of recordsOf(records, session, 'writes')) {
    logged = true;
    if (!logs[write.stream].add(write.offset, write)) {
      report('child-log', `${session}: a write to ${write.stream} at ${write.offset} does not follow the one before`);
    }
  }
  const complete = recordsOf(records, session, 'complete').some(({ output }) => output);
  if (!logged) {
    if (complete) {
      report('child-log', `${session}: the child has logged no write, so its output cannot be judged`);
    }
    return;
  }
  const positions = compare(session, frames, logs, report);
  if (complete) {
    checkComplete(records, session, frames, positions, report);
  }
}

type Frame = RecordOf<'frame'> | RecordOf<'exit'>;

/** By `seq`; a frame that came several times must be the same each time. */
function distinctFrames(records: readonly HistoryRecord[], session: string, report: Report): Map<number, Frame> {
  const found = new Map<number, Frame>();
  for (const frame of recordsOf(records, session, 'frame', 'exit') as Frame[]) {
    const first = found.get(frame.seq);
    if (first === undefined) {
      found.set(frame.seq, frame);
    } else if (identity(first) !== identity(frame)) {
      report(
        'replay-identical',
        `${session}: seq ${frame.seq} on ${frame.connection} differs from ${first.connection}`,
      );
    }
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}

function identity(frame: Frame): string {
  return frame.what === 'exit' ? `exit ${frame.exitCode}` : `${frame.stream} ${frame.bytes} ${hashOf(frame)}`;
}

function hashOf(content: Content): string {
  if ('sha256' in content) {
    return content.sha256;
  }
  return hash('data' in content ? Buffer.from(content.data, 'base64') : noiseOf(content.noise).bytes(0, content.bytes));
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Where each stream ended; `undefined` when a mismatch or a loss ended the comparison. */
type Positions = Record<'stdout' | 'stderr', number | undefined>;

function compare(
  session: string,
  frames: ReadonlyMap<number, Frame>,
  logs: Record<'stdout' | 'stderr', ChildStream>,
  report: Report,
): Positions {
  const positions: Positions = { stdout: 0, stderr: 0 };
  /** Frames that no connection has seen since the stream's place was last known. */
  const missing = { stdout: 0, stderr: 0 };
  let lastSeq = 0;
  for (const [seq, frame] of frames) {
    for (const stream of streams) {
      missing[stream] += seq - lastSeq - 1;
    }
    lastSeq = seq;
    if (frame.what === 'exit') {
      continue;
    }
    const { stream } = frame;
    let position = positions[stream];
    if (position !== undefined && missing[stream] > 0 && !('data' in frame)) {
      report('child-log', `${session}: seq ${seq} after ${missing[stream]} lost frames is recorded by its hash only`);
      position = undefined;
    } else if (position !== undefined && missing[stream] > 0) {
      position = locate(frame, logs[stream], position, missing[stream]);
      if (position === undefined) {
        report(
          'bytes-equal',
          `${session}: seq ${seq} after ${missing[stream]} lost frames is nowhere in the ${stream} of the child`,
        );
      }
      missing[stream] = 0;
    }
    if (position !== undefined && !matches(frame, logs[stream].bytes(position, frame.bytes))) {
      report('bytes-equal', `${session}: seq ${seq} is not the ${frame.bytes} bytes of ${stream} from ${position} on`);
      position = undefined;
    }
    positions[stream] = position === undefined ? undefined : position + frame.bytes;
  }
  return positions;
}

function matches(frame: RecordOf<'frame'>, wanted: Buffer | undefined): boolean {
  if (wanted === undefined) {
    return false;
  }
  return 'data' in frame ? Buffer.from(frame.data, 'base64').equals(wanted) : hashOf(frame) === hash(wanted);
}

/** Looks for the frame among the bytes that the lost ones can have carried. */
function locate(frame: RecordOf<'frame'>, log: ChildStream, from: number, lost: number): number | undefined {
  if (!('data' in frame)) {
    return undefined;
  }
  const wanted = Buffer.from(frame.data, 'base64');
  const end = Math.min(log.end, from + lost * frameBytes + wanted.length);
  const step = 1 << 20;
  for (let at = from; at < end; at += step) {
    const found = log.bytes(at, Math.min(end - at, step + wanted.length))?.indexOf(wanted) ?? -1;
    if (found >= 0) {
      return at + found;
    }
  }
  return undefined;
}

function checkComplete(
  records: readonly HistoryRecord[],
  session: string,
  frames: ReadonlyMap<number, Frame>,
  positions: Positions,
  report: Report,
): void {
  const seqs = [...frames.keys()];
  if (seqs.length > 0 && (seqs[0] !== 1 || seqs.at(-1) !== seqs.length)) {
    report('output-complete', `${session}: ${(seqs.at(-1) ?? 0) - seqs.length} frames were seen by no connection`);
  }
  if (![...frames.values()].some(({ what }) => what === 'exit')) {
    report('output-complete', `${session}: no exit frame came`);
  }
  for (const stream of streams) {
    const written = recordsOf(records, session, 'written').filter((record) => record.stream === stream);
    const end = written.reduce((highest, { offset }) => Math.max(highest, offset), 0);
    const seen = positions[stream];
    if (seen !== undefined && seen < end) {
      report('output-complete', `${session}: ${seen} of ${end} bytes of ${stream} came`);
    }
  }
}

/** What a child wrote to one stream, as its log has it. */
class ChildStream {
  readonly #pieces: { readonly offset: number; readonly bytes: number; readonly source: Buffer | Noise }[] = [];
  end = 0;

  /** `false` when the piece does not follow what came before. */
  add(offset: number, content: Content): boolean {
    if (offset !== this.end || 'sha256' in content) {
      return false;
    }
    const source = 'data' in content ? Buffer.from(content.data, 'base64') : noiseOf(content.noise);
    this.#pieces.push({ offset, bytes: content.bytes, source });
    this.end += content.bytes;
    return true;
  }

  /** `undefined` where the child has logged no such bytes. */
  bytes(offset: number, length: number): Buffer | undefined {
    if (offset + length > this.end) {
      return undefined;
    }
    const found = Buffer.allocUnsafe(length);
    let at = offset;
    for (let index = this.#indexOf(offset); at < offset + length; index++) {
      const piece = this.#pieces[index];
      if (piece === undefined) {
        return undefined;
      }
      const part = found.subarray(at - offset, Math.min(length, piece.offset + piece.bytes - offset));
      if (piece.source instanceof Noise) {
        piece.source.fill(part, at);
      } else {
        piece.source.copy(part, 0, at - piece.offset);
      }
      at += part.length;
    }
    return found;
  }

  /** Binary search: a child that writes lines has many pieces. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pieces[middle]?.offset ?? 0) <= offset) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
}
