/** The order of frames: per connection from fromSeq+1 on, one connection at a time, the exit frame last and once. */
import type { Report } from './history.ts';
import { type HistoryRecord, type RecordOf, type Replies, requestKey } from './history-records.ts';

/** One spawn or reattach of the session by a connection, until the next one on the same connection. */
interface Attachment {
  readonly kind: 'spawn' | 'reattach';
  readonly connection: string;
  readonly sentAt: number;
  /** 0 for a spawn. */
  readonly fromSeq: number;
  readonly reply: RecordOf<'reply'> | undefined;
  /** From here on it surely held the session; `undefined` when nothing that surely belongs to it came. */
  heldAt: number | undefined;
  /** Times its first frame came; twice when the first could as well have been the next live one. */
  starts: number;
  ambiguous: boolean;
}

type Frame = RecordOf<'frame'> | RecordOf<'exit'>;

export function checkFrames(
  records: readonly HistoryRecord[],
  session: string,
  replies: Replies,
  report: Report,
): void {
  const run: SessionRun = { session, replies, report, attachments: [], owners: new Map(), evictedBefore: 1 };
  const connections = byConnection(records, session);
  for (const record of [...connections.values()].flat()) {
    if (record.what === 'reattach') {
      run.evictedBefore = Math.max(run.evictedBefore, replies.get(requestKey(record))?.result?.firstSeq ?? 1);
    }
  }
  for (const [connection, own] of connections) {
    checkConnection(run, connection, own);
  }
  checkOneConnection(run);
  checkExit(run);
}

interface SessionRun {
  readonly session: string;
  readonly replies: Replies;
  readonly report: Report;
  readonly attachments: Attachment[];
  /** Which attachment each frame came by, in order of arrival per connection. */
  readonly owners: Map<Frame, Attachment>;
  /** Highest firstSeq that any reattach was told: frames below it had left the window at some time. */
  evictedBefore: number;
}

/** What concerns the session on each connection, in order. */
function byConnection(records: readonly HistoryRecord[], session: string): Map<string, HistoryRecord[]> {
  const found = new Map<string, HistoryRecord[]>();
  for (const record of records) {
    if ('connection' in record && (!('session' in record) || record.session === session)) {
      const own = found.get(record.connection);
      if (own === undefined) {
        found.set(record.connection, [record]);
      } else {
        own.push(record);
      }
    }
  }
  return found;
}

function checkConnection(run: SessionRun, connection: string, records: readonly HistoryRecord[]): void {
  const { session, report } = run;
  const where = `${session} on ${connection}`;
  const byReply = new Map<RecordOf<'reply'>, Attachment>();
  const pending = new Set<Attachment>();
  let current: Attachment | undefined;
  let expected: number | undefined;
  let closed = false;

  function takeFrame(frame: Frame): void {
    const { seq } = frame;
    const replay = [...pending].find((candidate) => mayStartWith(candidate, seq, run.evictedBefore));
    if (replay !== undefined) {
      replay.ambiguous = seq === expected;
      replay.starts++;
      replay.heldAt = replay.ambiguous ? undefined : frame.at;
      current = replay;
    } else if (current === undefined) {
      report('stray-frame', `${where}: seq ${seq}, but the connection has neither spawned nor reattached it`);
      return;
    } else if (seq !== expected) {
      report('frames-contiguous', `${where}: seq ${seq} came where ${expected} was due`);
    }
    expected = seq + 1;
    run.owners.set(frame, current as Attachment);
  }

  function takeReply(attachment: Attachment, reply: RecordOf<'reply'>): void {
    pending.delete(attachment);
    if (reply.error !== undefined || reply.result?.found === false) {
      return;
    }
    const { lastSeq } = reply.result ?? {};
    if (lastSeq === undefined) {
      expected = 1;
    } else {
      if (attachment.fromSeq < lastSeq && expected !== lastSeq + 1) {
        const seen = expected === undefined ? 'none had come' : `the last one was ${expected - 1}`;
        report('replay-complete', `${where}: the reply says lastSeq ${lastSeq}, ${seen}`);
      }
      expected = lastSeq + 1;
    }
    attachment.heldAt ??= reply.at;
    current = attachment;
  }

  for (const record of records) {
    switch (record.what) {
      case 'spawn':
      case 'reattach': {
        const reply = run.replies.get(requestKey(record));
        const attachment: Attachment = {
          kind: record.what,
          connection,
          sentAt: record.at,
          fromSeq: record.what === 'spawn' ? 0 : record.fromSeq,
          reply,
          heldAt: undefined,
          starts: 0,
          ambiguous: false,
        };
        run.attachments.push(attachment);
        if (reply !== undefined) {
          byReply.set(reply, attachment);
        }
        // The frames of a spawn come after its reply (spec wire.md §9.6), those of a replay before it.
        if (record.what === 'reattach') {
          pending.add(attachment);
        }
        break;
      }
      case 'reply': {
        const attachment = byReply.get(record);
        if (attachment !== undefined) {
          takeReply(attachment, record);
        }
        break;
      }
      case 'closed':
        closed = true;
        break;
      case 'frame':
      case 'exit':
        if (closed) {
          report('frame-after-close', `${where}: seq ${record.seq}`);
        }
        takeFrame(record);
        break;
    }
  }
}

/** Whether a replay that is under way on its connection can begin with this frame. */
function mayStartWith({ fromSeq, reply, starts, ambiguous }: Attachment, seq: number, evictedBefore: number): boolean {
  if (starts > (ambiguous ? 1 : 0)) {
    return false;
  }
  // Frames before firstSeq had left the window; without a reply nobody was told how many.
  return reply === undefined
    ? seq === fromSeq + 1 || (seq > fromSeq && seq <= evictedBefore)
    : seq === Math.max(fromSeq + 1, reply.result?.firstSeq ?? 1);
}

function checkOneConnection({ session, attachments, owners, report }: SessionRun): void {
  const takeovers = attachments.filter(({ reply }) => reply?.result?.found === true);
  const limits = new Map(
    attachments.map((own) => {
      const later = takeovers.filter(
        (other) => other.connection !== own.connection && own.heldAt !== undefined && other.sentAt > own.heldAt,
      );
      return [own, Math.min(...later.map(({ reply }) => reply?.result?.lastSeq ?? 0))];
    }),
  );
  const liveTo = new Map<number, string>();
  for (const [{ seq }, owner] of owners) {
    const { connection, kind, reply } = owner;
    const limit = limits.get(owner) ?? Number.POSITIVE_INFINITY;
    if (seq > limit) {
      report('one-connection', `${session}: seq ${seq} went to ${connection}, which had lost it after seq ${limit}`);
    }
    const replayedTo = kind === 'spawn' ? 0 : reply?.result?.lastSeq;
    if (replayedTo !== undefined && seq > replayedTo) {
      const other = liveTo.get(seq) ?? connection;
      liveTo.set(seq, other);
      if (other !== connection) {
        report('one-connection', `${session}: seq ${seq} went live to ${other} and to ${connection}`);
      }
    }
  }
}

function checkExit({ session, owners, report }: SessionRun): void {
  const frames = [...owners.keys()];
  const exits = new Set(frames.filter(({ what }) => what === 'exit').map(({ seq }) => seq));
  if (exits.size > 1) {
    report('exit-once', `${session}: exit frames with seq ${[...exits].join(', ')}`);
  }
  const [exit] = exits;
  const last = frames.reduce((highest, { seq }) => Math.max(highest, seq), 0);
  if (exit !== undefined && exits.size === 1 && last > exit) {
    report('exit-last', `${session}: seq ${last} after the exit frame ${exit}`);
  }
}
