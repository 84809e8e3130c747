/**
 * The history checker: judges a run by what the clients saw and what the children say, never by what the program says
 * of itself. It holds for every fault scenario and for soak runs; what it finds is a broken promise, whatever was done to the daemon.
 */
import { checkChildBytes } from './history-bytes.ts';
import { checkFrames } from './history-frames.ts';
import { checkInput } from './history-input.ts';
import { type HistoryRecord, repliesOf, requestKey } from './history-records.ts';

/** One broken promise. */
export interface Violation {
  readonly rule: Rule;
  /** Session, connection and numbers, in words. */
  readonly text: string;
}

export const rules = {
  'frames-contiguous':
    'a connection gets the frames of a session from fromSeq+1 on, without gap, repetition or reordering',
  'replay-complete': 'a reattach reply comes after every frame up to its lastSeq',
  'one-connection': 'a session feeds one connection at a time: none gets a frame beyond the takeover by another',
  'stray-frame': 'a connection gets frames only of sessions it spawned or reattached',
  'frame-after-close': 'nothing arrives on a connection that is closed',
  'whole-frames': 'every line is one whole frame',
  'replay-identical': 'a frame is the same each time it is sent',
  'exit-last': 'no frame follows the exit frame of a session',
  'exit-once': 'a session has one exit frame',
  'bytes-equal': 'the output is what the child wrote, in its order',
  'output-complete': 'all that the child wrote arrives, and its exit',
  'stdin-once': 'the child reads each byte of stdin at most once, and none that nobody sent',
  'stdin-bytes': 'the child reads at each offset what a client sent for it',
  'stdin-order': 'requests of one connection without offset are applied in the order they were sent',
  'stdin-count': 'applied counts what was accepted, and never goes back',
  'stdin-complete': 'all that was acknowledged is read',
  'foreign-signal': 'no pid is signalled that is not in the spawn log',
  'child-log': 'the log of the child is complete enough to judge by',
} as const;

export type Rule = keyof typeof rules;

/** Where the parts of the checker put what they find. */
export type Report = (rule: Rule, text: string) => void;

/** @param records in the order of time, as `readHistory` gives them. @returns what is wrong; empty for a clean run */
export function checkHistory(records: readonly HistoryRecord[]): Violation[] {
  const violations: Violation[] = [];
  const report: Report = (rule, text) => violations.push({ rule, text });
  const replies = repliesOf(records);
  for (const record of records) {
    if (record.what === 'garbage') {
      report('whole-frames', `${record.connection}: ${record.line}`);
    }
  }
  for (const [session, own] of bySession(records)) {
    checkFrames(own, session, replies, report);
    checkChildBytes(own, session, report);
    checkInput(own, session, replies, report);
  }
  checkSignals(records, report);
  return violations;
}

/**
 * What concerns each session, in order: a long run has millions of records, and each part of the checker looks at all it is
 * given. A reply concerns the session of its request; what names no session, such as the end of a connection, concerns all.
 */
function bySession(records: readonly HistoryRecord[]): Map<string, HistoryRecord[]> {
  const found = new Map<string, HistoryRecord[]>();
  const requests = new Map<string, string>();
  for (const record of records) {
    if ('session' in record) {
      found.set(record.session, []);
      if ('request' in record) {
        requests.set(requestKey(record), record.session);
      }
    }
  }
  for (const record of records) {
    const session = 'session' in record ? record.session : record.what === 'reply' && requests.get(requestKey(record));
    if (typeof session === 'string') {
      found.get(session)?.push(record);
    } else if (record.what !== 'reply') {
      for (const own of found.values()) {
        own.push(record);
      }
    }
  }
  return found;
}

/** The violations as lines for a failure message; empty for a clean run. */
export function describeViolations(violations: readonly Violation[]): string {
  return violations.map(({ rule, text }) => `${rule} (${rules[rule]}): ${text}`).join('\n');
}

function checkSignals(records: readonly HistoryRecord[], report: Report): void {
  const spawned = records.filter((record) => record.what === 'spawned');
  for (const record of records) {
    if (record.what !== 'signalled' || record.signal === '0') {
      continue;
    }
    const { pid, start } = record;
    const known = spawned.some(
      (own) => own.pid === Math.abs(pid) && (own.start === undefined || start === undefined || own.start === start),
    );
    if (!known) {
      report('foreign-signal', `${record.signal} to ${pid}${start === undefined ? '' : ` started at ${start}`}`);
    }
  }
}
