/** What the demo compares at its end: the program's own count with what arrived at a client that was cut off. */
import type { Gap } from '../support/streams.ts';

export interface StreamCount {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Written by the program itself, past the daemon. */
export interface ProgramCount {
  readonly stdout: StreamCount;
  readonly stderr: StreamCount;
  readonly exitCode: number;
}

export interface Received {
  readonly stdout: StreamCount;
  readonly stderr: StreamCount;
  /** Of the exit frame; `undefined`: none came. */
  readonly exitCode: number | undefined;
  /** Frames, the exit frame included. */
  readonly frames: number;
  /** Number of the last one; they count from 1. */
  readonly lastSeq: number;
  readonly duplicates: number;
  readonly gaps: readonly Gap[];
  /** Frames that came before the connection was cut. */
  readonly framesBeforeCut: number;
}

export interface Check {
  readonly what: string;
  readonly expected: string;
  readonly received: string;
  readonly holds: boolean;
}

export function compare(program: ProgramCount, received: Received): Check[] {
  const same = (what: string, expected: string, got: string): Check => ({
    what,
    expected,
    received: got,
    holds: expected === got,
  });
  const afterCut = received.frames - received.framesBeforeCut;
  return [
    ...(['stdout', 'stderr'] as const).flatMap((stream) => [
      same(`${stream} bytes`, grouped(program[stream].bytes), grouped(received[stream].bytes)),
      same(`${stream} SHA-256`, program[stream].sha256, received[stream].sha256),
    ]),
    same('exit code', String(program.exitCode), String(received.exitCode ?? 'none')),
    same('frames', grouped(received.lastSeq), grouped(received.frames)),
    same('duplicates', '0', String(received.duplicates)),
    same('gaps', '0', describeGaps(received.gaps)),
    {
      what: 'cut in the middle',
      expected: 'frames on both sides',
      received: `${received.framesBeforeCut} before, ${afterCut} after`,
      holds: received.framesBeforeCut > 0 && afterCut > 1,
    },
  ];
}

function describeGaps(gaps: readonly Gap[]): string {
  const ranges = gaps.map(({ after, before }) => `${after + 1}-${before - 1}`);
  return gaps.length === 0 ? '0' : `${gaps.length} (${ranges.join(', ')})`;
}

/** 1 234 567 */
export function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}
