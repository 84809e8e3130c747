/**
 * The history of a run: what every client sent and saw, and what every child itself says it wrote and read.
 * JSON lines, one file per writer, all on the machine's monotonic clock; test/tools/history.ts judges them together.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * Bytes in a record: `data`, themselves in base64; `noise`, the seed of a `Noise` whose positions are those of the stream;
 * `sha256` in hex, where a client saw too much to keep it.
 */
export type Content = { readonly bytes: number } & (
  | { readonly data: string }
  | { readonly noise: string }
  | { readonly sha256: string }
);

export type HistoryEvent =
  // --- a client
  | { readonly what: 'connected'; readonly connection: string }
  | { readonly what: 'closed'; readonly connection: string; readonly end: 'client' | 'daemon' }
  /** A request that concerns one session. `request` is its id on that connection. */
  | (SentRequest & { readonly connection: string; readonly request: number; readonly session: string })
  | {
      readonly what: 'reply';
      readonly connection: string;
      readonly request: number;
      /** Error code. */
      readonly error?: number;
      readonly result?: ReplyFields;
    }
  | ({ readonly what: 'frame' } & OutputSeen)
  | ({ readonly what: 'exit' } & Seen & { readonly exitCode: number })
  /** A line that is no frame at all: torn, mixed with another, or not JSON. */
  | { readonly what: 'garbage'; readonly connection: string; readonly line: string }
  // --- a child
  | ({ readonly what: 'writes' } & ChildOutput & Content) // before the write: nothing beyond this can be seen
  | ({ readonly what: 'written' } & ChildOutput) // after it, `offset` = end: all of this must be seen
  | ({ readonly what: 'read'; readonly session: string; readonly offset: number } & Content)
  // --- whoever watches the processes
  | { readonly what: 'spawned'; readonly session: string; readonly pid: number; readonly start?: string }
  /** A signal that somebody sent, seen from outside (strace). A negative pid is a group; signal `0` is only a question. */
  | { readonly what: 'signalled'; readonly pid: number; readonly start?: string; readonly signal: string }
  // --- the scenario
  /** The run was watched to its end: everything written was to be seen, everything acknowledged was to be read. */
  | { readonly what: 'complete'; readonly session: string; readonly output: boolean; readonly input: boolean };

type SentRequest =
  | { readonly what: 'spawn' }
  | { readonly what: 'reattach'; readonly fromSeq: number }
  | ({ readonly what: 'stdin'; readonly offset?: number } & Content);

export interface ReplyFields {
  readonly found?: boolean;
  readonly firstSeq?: number;
  readonly lastSeq?: number;
  readonly stdinApplied?: number;
  readonly applied?: number;
  readonly duplicate?: boolean;
}

interface Seen {
  readonly connection: string;
  /** The process id on the wire. Each is spawned once in a history: a second spawn would start `seq` anew. */
  readonly session: string;
  readonly seq: number;
}

type OutputSeen = Seen & { readonly stream: 'stdout' | 'stderr' } & Content;

interface ChildOutput {
  readonly session: string;
  readonly stream: 'stdout' | 'stderr';
  readonly offset: number;
}

export type HistoryRecord = HistoryEvent & {
  /** Microseconds of the monotonic clock, comparable between the processes of one machine. */
  readonly at: number;
  /** Who wrote it down. */
  readonly by: string;
};

/** The event of one kind, as a record. */
export type RecordOf<W extends HistoryEvent['what']> = Extract<HistoryEvent, { readonly what: W }> & HistoryRecord;

export function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint()) / 1000;
}

/** Appends records to a file at once, so that a writer that is killed leaves everything that happened before. */
export class HistoryLog implements Disposable {
  readonly path: string;
  readonly #by: string;
  readonly #file: number;

  constructor(path: string, by: string) {
    this.path = path;
    this.#by = by;
    this.#file = openSync(path, 'a', 0o600);
  }

  add(event: HistoryEvent): void {
    writeSync(this.#file, `${JSON.stringify({ at: monotonicMicroseconds(), by: this.#by, ...event })}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Reads the files of one run in the order of time. A last line without its end is a writer that was killed: left out. */
export function readHistory(paths: readonly string[]): HistoryRecord[] {
  const records = paths.flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as HistoryRecord),
  );
  return records.sort((a, b) => a.at - b.at);
}

/** Records of one kind about one session, in their order. */
export function recordsOf<W extends HistoryRecord['what']>(
  records: readonly HistoryRecord[],
  session: string,
  ...kinds: W[]
): RecordOf<W>[] {
  return records.filter(
    (record) => (kinds as string[]).includes(record.what) && 'session' in record && record.session === session,
  ) as unknown as RecordOf<W>[];
}

/** The reply to each request, by {@link requestKey}. */
export type Replies = ReadonlyMap<string, RecordOf<'reply'>>;

export function repliesOf(records: readonly HistoryRecord[]): Replies {
  return new Map(records.filter((record) => record.what === 'reply').map((reply) => [requestKey(reply), reply]));
}

export function requestKey({ connection, request }: { readonly connection: string; readonly request: number }): string {
  return `${connection} ${request}`;
}
