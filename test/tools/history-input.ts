/** stdin: what the child says it read, against what the clients sent and which of it was acknowledged. */
import type { Report } from './history.ts';
import {
  type Content,
  type HistoryRecord,
  type RecordOf,
  type Replies,
  recordsOf,
  requestKey,
} from './history-records.ts';
import { noiseOf } from './noise.ts';

type Sent = RecordOf<'stdin'>;

/** "session keeper unreachable" and other failures of the system. */
const internalError = -32603;

/** A request whose place in the child's stdin nobody knows: no offset and no reply. */
interface Floating {
  readonly sent: Sent;
  readonly bytes: Buffer;
  used: boolean;
}

/**
 * Requests with an offset, and those with a reply, claim a place; what the child read there must be theirs. What lies
 * between must be made of requests without offset and reply, each at most once. (Those are told apart by their bytes, so
 * a scenario gives every line a text of its own that is not the beginning of another.)
 */
export function checkInput(records: readonly HistoryRecord[], session: string, replies: Replies, report: Report): void {
  const read = readByChild(records, session, report);
  const input = new ClaimedInput();
  const floating: Floating[] = [];
  const lastPlace = new Map<string, number>();
  let acknowledged = 0;
  for (const sent of recordsOf(records, session, 'stdin')) {
    const reply = replies.get(requestKey(sent));
    // A refusal means that nothing was applied. Where the daemon has lost its keeper it cannot know, as if the reply were lost.
    if (reply?.error !== undefined && reply.error !== internalError) {
      continue;
    }
    const bytes = bytesOf(sent);
    const applied = reply?.result?.applied;
    const place = sent.offset ?? (applied === undefined ? undefined : applied - bytes.length);
    if (place === undefined) {
      floating.push({ sent, bytes, used: false });
      continue;
    }
    const name = `${session}: request ${sent.request} on ${sent.connection}`;
    if (!input.claim(place, bytes)) {
      report('stdin-once', `${name} and an earlier one claim different bytes from ${place} on`);
    }
    if (applied !== undefined) {
      acknowledged = Math.max(acknowledged, applied);
      const fits =
        reply?.result?.duplicate === true ? applied >= place + bytes.length : applied === place + bytes.length;
      if (!fits) {
        report('stdin-count', `${name}: ${bytes.length} bytes from ${place} on were answered with applied ${applied}`);
      }
    }
    if (sent.offset === undefined) {
      if (place < (lastPlace.get(sent.connection) ?? 0)) {
        report('stdin-order', `${name} was applied before one that was sent earlier`);
      }
      lastPlace.set(sent.connection, place);
    }
  }
  checkRead(session, read, input, floating, report);
  checkCounts(records, session, report);
  const complete = recordsOf(records, session, 'complete').some((record) => record.input);
  if (complete && read.length < acknowledged) {
    report('stdin-complete', `${session}: ${acknowledged} bytes were acknowledged, the child read ${read.length}`);
  }
}

function bytesOf(content: Content & { readonly offset?: number }): Buffer {
  if ('data' in content) {
    return Buffer.from(content.data, 'base64');
  }
  if ('noise' in content) {
    return noiseOf(content.noise).bytes(content.offset ?? 0, content.bytes);
  }
  throw new Error('stdin is recorded with its bytes');
}

function readByChild(records: readonly HistoryRecord[], session: string, report: Report): Buffer {
  const pieces: Buffer[] = [];
  let end = 0;
  for (const record of recordsOf(records, session, 'read')) {
    if (record.offset !== end) {
      report('child-log', `${session}: a read at ${record.offset} does not follow the one that ended at ${end}`);
    }
    end = record.offset + record.bytes;
    pieces.push(bytesOf(record));
  }
  return Buffer.concat(pieces);
}

function checkRead(session: string, read: Buffer, input: ClaimedInput, floating: Floating[], report: Report): void {
  for (let at = 0; at < read.length; ) {
    const end = Math.min(input.runEnd(at), read.length);
    if (input.isClaimed(at)) {
      const difference = input.firstDifference(at, read.subarray(at, end));
      if (difference !== undefined) {
        report(
          'stdin-bytes',
          `${session}: the byte ${difference} that the child read is not the one sent for that place`,
        );
        return;
      }
    } else if (!explain(session, read.subarray(at, end), end === read.length, floating, report)) {
      report(
        'stdin-once',
        `${session}: the bytes ${at} … ${end - 1} that the child read were never sent, or were read twice`,
      );
      return;
    }
    at = end;
  }
}

/** Finds the requests that make up `bytes`. @param open the child may not have read all of the last one yet */
function explain(session: string, bytes: Buffer, open: boolean, floating: Floating[], report: Report): boolean {
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.subarray(at);
    const fitting = floating.filter(
      (request) =>
        !request.used &&
        request.bytes.length > 0 &&
        (rest.subarray(0, request.bytes.length).equals(request.bytes) ||
          (open && rest.length < request.bytes.length && request.bytes.subarray(0, rest.length).equals(rest))),
    );
    // The longest: a request may begin with the bytes of a shorter one.
    const found = fitting.sort((a, b) => b.bytes.length - a.bytes.length)[0];
    if (found === undefined) {
      return false;
    }
    found.used = true;
    const overtaken = floating.find(
      ({ sent, used }) => used && sent.connection === found.sent.connection && sent.at > found.sent.at,
    );
    if (overtaken !== undefined) {
      const { request, connection } = overtaken.sent;
      report('stdin-order', `${session}: request ${request} on ${connection} was read before ${found.sent.request}`);
    }
    at += found.bytes.length;
  }
  return true;
}

/** `stdinApplied` of a reattach is at least what was acknowledged before it was asked for. */
function checkCounts(records: readonly HistoryRecord[], session: string, report: Report): void {
  const requests = new Map<string, { readonly what: string; readonly floor: number }>();
  let acknowledged = 0;
  for (const record of records) {
    if ((record.what === 'stdin' || record.what === 'reattach') && record.session === session) {
      requests.set(requestKey(record), { what: record.what, floor: acknowledged });
    } else if (record.what === 'reply') {
      const request = requests.get(requestKey(record));
      const applied = request?.what === 'stdin' ? record.result?.applied : record.result?.stdinApplied;
      if (request === undefined || applied === undefined || record.result?.found === false) {
        continue;
      }
      if (applied < request.floor) {
        report(
          'stdin-count',
          `${session}: ${record.connection} was told ${applied} applied bytes after ${request.floor} were acknowledged`,
        );
      }
      acknowledged = Math.max(acknowledged, applied);
    }
  }
}

/** The bytes that have a place in the child's stdin. */
class ClaimedInput {
  #bytes = Buffer.alloc(0);
  #claimed = new Uint8Array(0);

  /** `false` when another request has claimed a place with another byte. */
  claim(place: number, bytes: Buffer): boolean {
    this.#grow(place + bytes.length);
    let agrees = true;
    for (let index = 0; index < bytes.length; index++) {
      const at = place + index;
      agrees &&= this.#claimed[at] === 0 || this.#bytes[at] === bytes[index];
      this.#bytes[at] = bytes[index] as number;
      this.#claimed[at] = 1;
    }
    return agrees;
  }

  isClaimed(at: number): boolean {
    return this.#claimed[at] === 1;
  }

  /** End of the run of places that are claimed (or not) as `at` is. */
  runEnd(at: number): number {
    const kind = this.isClaimed(at) ? 1 : 0;
    const end = this.#claimed.subarray(at).findIndex((claimed) => claimed !== kind);
    const beyond = kind === 0 ? Number.POSITIVE_INFINITY : Math.max(at, this.#claimed.length);
    return end < 0 ? beyond : at + end;
  }

  firstDifference(at: number, read: Buffer): number | undefined {
    const wanted = this.#bytes.subarray(at, at + read.length);
    return wanted.equals(read) ? undefined : at + read.findIndex((byte, index) => byte !== wanted[index]);
  }

  #grow(length: number): void {
    if (length > this.#claimed.length) {
      const size = Math.max(length, this.#claimed.length * 2);
      const bytes = Buffer.alloc(size);
      this.#bytes.copy(bytes);
      const claimed = new Uint8Array(size);
      claimed.set(this.#claimed);
      this.#bytes = bytes;
      this.#claimed = claimed;
    }
  }
}
