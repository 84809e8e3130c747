/** A checker that cannot fail is a defect: each rule is shown a history that breaks it, and honest ones that do not. */
import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkHistory, describeViolations, type Rule, rules } from './history.ts';
import { type HistoryEvent, HistoryLog, type HistoryRecord, readHistory } from './history-records.ts';
import { Noise } from './noise.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const session = 's1';

/** The records of a run in which one event follows the other. */
function history(...events: HistoryEvent[]): HistoryRecord[] {
  return events.map((event, index) => ({ at: index + 1, by: 'test', ...event }));
}

function broken(...events: HistoryEvent[]): Rule[] {
  return [...new Set(checkHistory(history(...events)).map(({ rule }) => rule))];
}

const writes = (offset: number, text: string, stream: 'stdout' | 'stderr' = 'stdout'): HistoryEvent[] => [
  { what: 'writes', session, stream, offset, bytes: text.length, data: base64(text) },
  { what: 'written', session, stream, offset: offset + text.length },
];
const read = (offset: number, text: string): HistoryEvent => ({
  what: 'read',
  session,
  offset,
  bytes: text.length,
  data: base64(text),
});
const spawn = (connection: string): HistoryEvent[] => [
  { what: 'spawn', connection, request: 1, session },
  { what: 'reply', connection, request: 1, result: {} },
];
const askReattach = (connection: string, fromSeq: number, request = 2): HistoryEvent => ({
  what: 'reattach',
  connection,
  request,
  session,
  fromSeq,
});
const reattached = (connection: string, lastSeq: number, more: object = {}, request = 2): HistoryEvent => ({
  what: 'reply',
  connection,
  request,
  result: { found: true, firstSeq: 1, lastSeq, stdinApplied: 0, ...more },
});
const frame = (
  connection: string,
  seq: number,
  text: string,
  stream: 'stdout' | 'stderr' = 'stdout',
): HistoryEvent => ({
  what: 'frame',
  connection,
  session,
  stream,
  seq,
  bytes: text.length,
  data: base64(text),
});
const exit = (connection: string, seq: number, exitCode = 0): HistoryEvent => ({
  what: 'exit',
  connection,
  session,
  seq,
  exitCode,
});
const closed = (connection: string): HistoryEvent => ({ what: 'closed', connection, end: 'client' });
const stdin = (connection: string, request: number, text: string, offset?: number): HistoryEvent => ({
  what: 'stdin',
  connection,
  request,
  session,
  bytes: text.length,
  data: base64(text),
  ...(offset === undefined ? {} : { offset }),
});
const applied = (connection: string, request: number, count: number, more: object = {}): HistoryEvent => ({
  what: 'reply',
  connection,
  request,
  result: { applied: count, ...more },
});
const complete: HistoryEvent = { what: 'complete', session, output: true, input: true };

/** Three lines of output and the exit, which a client sees, loses and replays. */
const child = [...writes(0, 'one\n'), ...writes(4, 'two\n'), ...writes(0, 'err\n', 'stderr'), ...writes(8, 'three\n')];
const firstClient = [...spawn('a'), frame('a', 1, 'one\ntwo\n'), frame('a', 2, 'err\n', 'stderr'), closed('a')];
const secondClient = [
  askReattach('b', 1),
  frame('b', 2, 'err\n', 'stderr'),
  frame('b', 3, 'three'),
  reattached('b', 3),
  frame('b', 4, '\n'),
  exit('b', 5),
];
const honest = [...child, ...firstClient, ...secondClient, complete];

test('a run that kept every promise is clean', () => {
  expect(describeViolations(checkHistory(history(...honest)))).toBe('');
});

test('a replay that is asked for again on the same connection is clean', () => {
  expect(
    broken(
      ...child,
      ...firstClient,
      ...secondClient,
      askReattach('b', 3, 3),
      frame('b', 4, '\n'),
      exit('b', 5),
      reattached('b', 5, {}, 3),
    ),
  ).toEqual([]);
  expect(
    broken(
      ...child,
      ...firstClient.slice(0, 3),
      askReattach('a', 1),
      frame('a', 2, 'err\n', 'stderr'),
      frame('a', 2, 'err\n', 'stderr'),
      reattached('a', 2),
      frame('a', 3, 'three'),
    ),
  ).toEqual([]);
});

test('a frame the daemon has evicted may be missing, and what follows is still compared', () => {
  const lost = [askReattach('b', 2), frame('b', 4, 'ree\n'), exit('b', 5), reattached('b', 5, { firstSeq: 4 })];
  expect(broken(...child, ...firstClient, ...lost)).toEqual([]);
  expect(broken(...child, ...firstClient, ...lost, complete)).toEqual(['output-complete']);
  const wrong = [askReattach('b', 2), frame('b', 4, 'xyz\n'), exit('b', 5), reattached('b', 5, { firstSeq: 4 })];
  expect(broken(...child, ...firstClient, ...wrong)).toEqual(['bytes-equal']);
});

test('frames of the old connection that were on their way when another took over are clean', () => {
  const late = [...spawn('a'), askReattach('b', 0), frame('b', 1, 'one\n'), reattached('b', 1), frame('a', 1, 'one\n')];
  expect(broken(...child, ...late)).toEqual([]);
});

test.each<[what: string, rules: Rule[], events: HistoryEvent[]]>([
  ['a frame is left out', ['frames-contiguous'], [...spawn('a'), frame('a', 1, 'one\n'), frame('a', 3, 'two\n')]],
  ['a frame comes twice', ['frames-contiguous'], [...spawn('a'), frame('a', 1, 'one\n'), frame('a', 1, 'one\n')]],
  ['frames change places', ['frames-contiguous'], [...spawn('a'), frame('a', 2, 'two\n'), frame('a', 1, 'one\n')]],
  [
    'a replay starts too late',
    ['stray-frame', 'replay-complete'],
    [...firstClient, askReattach('b', 1), frame('b', 3, 'three'), reattached('b', 3)],
  ],
  [
    'a replay starts too late and its reply is lost',
    ['stray-frame'],
    [...firstClient, askReattach('b', 1), frame('b', 3, 'three')],
  ],
  [
    'a replay stops short of its reply',
    ['replay-complete'],
    [...firstClient, askReattach('b', 1), frame('b', 2, 'err\n', 'stderr'), reattached('b', 3)],
  ],
  ['a replay does not happen', ['replay-complete'], [...firstClient, askReattach('b', 1), reattached('b', 3)]],
  [
    'live frames skip what came between the takeover and them',
    ['frames-contiguous'],
    [...firstClient, askReattach('b', 2), reattached('b', 2), frame('b', 4, '\n')],
  ],
  [
    'the old connection goes on getting frames after a takeover',
    ['one-connection'],
    [...spawn('a'), frame('a', 1, 'one\n'), askReattach('b', 1), reattached('b', 1), frame('a', 2, 'two\n')],
  ],
  [
    'a frame goes live to two connections that took over at the same time',
    ['one-connection'],
    [
      ...[...firstClient, askReattach('b', 2), askReattach('c', 2), reattached('b', 2), reattached('c', 2)],
      ...[frame('b', 3, 'three'), frame('c', 3, 'three')],
    ],
  ],
  ['a connection gets frames it never asked for', ['stray-frame'], [...firstClient, frame('c', 3, 'three')]],
  ['output overtakes the reply of its spawn', ['stray-frame'], [spawn('a')[0] as HistoryEvent, frame('a', 1, 'one\n')]],
  [
    'a refused reattach is followed by frames',
    ['stray-frame'],
    [...firstClient, askReattach('b', 2), reattached('b', 0, { found: false }), frame('b', 1, 'one\ntwo\n')],
  ],
  ['a frame arrives after the close', ['frame-after-close'], [...firstClient, frame('a', 3, 'three')]],
  [
    'a line is torn',
    ['whole-frames'],
    [...firstClient, { what: 'garbage', connection: 'a', line: '{"type":"st{"jsonrpc"' }],
  ],
  [
    'a replay sends other bytes than the first time',
    ['replay-identical'],
    [...firstClient, askReattach('b', 0), frame('b', 1, 'one\ntwo!')],
  ],
  [
    'a replay reports another exit code',
    ['replay-identical'],
    [...spawn('a'), frame('a', 1, 'one\n'), exit('a', 2, 0), askReattach('b', 1), exit('b', 2, -1)],
  ],
  [
    'a frame follows the exit',
    ['exit-last'],
    [...spawn('a'), frame('a', 1, 'one\n'), exit('a', 2), frame('a', 3, 'two\n')],
  ],
  ['the exit comes twice', ['exit-once'], [...spawn('a'), frame('a', 1, 'one\n'), exit('a', 2), exit('a', 3)]],
  ['a byte is changed', ['bytes-equal'], [...spawn('a'), frame('a', 1, 'onE\n')]],
  [
    'bytes are lost inside the numbering',
    ['bytes-equal'],
    [...spawn('a'), frame('a', 1, 'one\n'), frame('a', 2, 'three\n')],
  ],
  [
    'bytes are doubled inside the numbering',
    ['bytes-equal'],
    [...spawn('a'), frame('a', 1, 'one\n'), frame('a', 2, 'one\n')],
  ],
  ['stdout is passed off as stderr', ['bytes-equal'], [...spawn('a'), frame('a', 1, 'one\n', 'stderr')]],
  ['bytes are invented after the last', ['bytes-equal'], [...spawn('a'), frame('a', 1, 'one\ntwo\nthree\nmore')]],
  [
    'the last bytes never come',
    ['output-complete'],
    [...spawn('a'), frame('a', 1, 'one\ntwo\nth'), frame('a', 2, 'err\n', 'stderr'), exit('a', 3), complete],
  ],
  [
    'a whole stream never comes',
    ['output-complete'],
    [...spawn('a'), frame('a', 1, 'one\ntwo\nthree\n'), exit('a', 2), complete],
  ],
  [
    'the exit never comes',
    ['output-complete'],
    [...spawn('a'), frame('a', 1, 'one\ntwo\nthree\n'), frame('a', 2, 'err\n', 'stderr'), complete],
  ],
])('output: the checker notices when %s', (_, expected, events) => {
  expect(broken(...child, ...events)).toEqual(expected);
});

test('input that is repeated with its offset, over a lost reply and a new connection, is clean', () => {
  expect(
    broken(
      ...[stdin('a', 2, 'AAA\n', 0), applied('a', 2, 4), stdin('a', 3, 'BBB\n', 4), closed('a')],
      ...[read(0, 'AAA\nB'), stdin('b', 2, 'BBB\n', 4), applied('b', 2, 8, { duplicate: true })],
      ...[stdin('b', 3, 'B\nCCC\n', 6), applied('b', 3, 12), read(5, 'BB\nCCC\n'), complete, ...exited],
    ),
  ).toEqual([]);
});

test('input without offset may be lost with its connection, wholly or in part, and come in between', () => {
  const lost = [stdin('a', 2, 'first\n'), stdin('a', 3, 'second\n'), closed('a')];
  const next = [stdin('b', 2, 'third\n'), applied('b', 2, 12)];
  expect(broken(...lost, ...next, read(0, 'first\nthird\n'))).toEqual([]);
  expect(broken(...lost, stdin('b', 2, 'third\n'), applied('b', 2, 19), read(0, 'first\nsecond\nthird\n'))).toEqual([]);
  expect(broken(...lost, read(0, 'first\nsec'))).toEqual([]);
});

test('a request that was refused is not expected at the child', () => {
  const refused = [stdin('a', 2, 'AAA\n', 99), { what: 'reply', connection: 'a', request: 2, error: -32003 } as const];
  expect(broken(...refused, stdin('a', 3, 'BBB\n', 0), applied('a', 3, 4), read(0, 'BBB\n'))).toEqual([]);
  expect(broken(...refused, read(0, 'AAA\n'))).toEqual(['stdin-once']);
});

test('a request that was answered with an unreachable keeper may have reached the child or not', () => {
  const unknown = [stdin('a', 2, 'AAAA', 0), { what: 'reply', connection: 'a', request: 2, error: -32603 } as const];
  expect(broken(...unknown, stdin('b', 2, 'AA', 0), applied('b', 2, 2), read(0, 'AA'))).toEqual([]);
  const answer = applied('b', 2, 4, { duplicate: true });
  expect(broken(...unknown, stdin('b', 2, 'AA', 0), answer, read(0, 'AAAA'))).toEqual([]);
  expect(broken(...unknown, stdin('b', 2, 'AA', 0), answer, read(0, 'AAAAAAAA'))).toEqual(['stdin-once']);
});

/** Output that makes the `complete` of input tests a complete run. */
const exited: HistoryEvent[] = [
  ...spawn('x'),
  exit('x', 1),
  { what: 'writes', session, stream: 'stdout', offset: 0, bytes: 0, data: '' },
];

test.each<[what: string, rules: Rule[], events: HistoryEvent[]]>([
  [
    'a repeated request is applied twice',
    ['stdin-once'],
    [stdin('a', 2, 'AAA\n', 0), stdin('b', 2, 'AAA\n', 0), applied('b', 2, 4), read(0, 'AAA\nAAA\n')],
  ],
  ['a request without offset is applied twice', ['stdin-once'], [stdin('a', 2, 'AAA\n'), read(0, 'AAA\nAAA\n')]],
  ['the child reads what nobody sent', ['stdin-once'], [stdin('a', 2, 'AAA\n'), read(0, 'AXA\n')]],
  [
    'two requests are acknowledged for the same place',
    ['stdin-once'],
    [stdin('a', 2, 'AAA\n'), applied('a', 2, 4), stdin('b', 2, 'BBB\n'), applied('b', 2, 4)],
  ],
  ['a byte is changed', ['stdin-bytes'], [stdin('a', 2, 'AAA\n'), applied('a', 2, 4), read(0, 'AAB\n')]],
  ['a byte is lost inside', ['stdin-bytes'], [stdin('a', 2, 'ABC\n', 0), applied('a', 2, 4), read(0, 'AC\n')]],
  [
    'the overlap of a repetition is applied again',
    ['stdin-bytes'],
    [stdin('a', 2, 'ABC', 0), applied('a', 2, 3), stdin('a', 3, 'CDE', 2), applied('a', 3, 5), read(0, 'ABCCD')],
  ],
  [
    'acknowledged requests of one connection change places',
    ['stdin-order'],
    [stdin('a', 2, 'AAA\n'), stdin('a', 3, 'BBB\n'), applied('a', 3, 4), applied('a', 2, 8), read(0, 'BBB\nAAA\n')],
  ],
  [
    'unacknowledged requests of one connection change places',
    ['stdin-order'],
    [stdin('a', 2, 'AAA\n'), stdin('a', 3, 'BBB\n'), read(0, 'BBB\nAAA\n')],
  ],
  ['applied counts too much', ['stdin-count'], [stdin('a', 2, 'AAA\n', 0), applied('a', 2, 5)]],
  [
    'a duplicate is claimed beyond what was applied',
    ['stdin-count'],
    [stdin('a', 2, 'AAA\n', 0), applied('a', 2, 3, { duplicate: true })],
  ],
  [
    'applied goes back after a restart',
    ['stdin-count'],
    [stdin('a', 2, 'AAA\n', 0), applied('a', 2, 4), askReattach('b', 0), reattached('b', 0, { stdinApplied: 0 })],
  ],
  [
    'acknowledged input never arrives',
    ['stdin-complete'],
    [stdin('a', 2, 'AAA\n', 0), applied('a', 2, 4), read(0, 'AA'), ...exited, complete],
  ],
])('input: the checker notices when %s', (_, expected, events) => {
  expect(broken(...events)).toEqual(expected);
});

test('the checker refuses to judge by a log of a child that has holes or is not there', () => {
  expect(broken(...spawn('a'), exit('a', 1), complete)).toEqual(['child-log']);
  expect(broken(...writes(0, 'one\n'), ...writes(5, 'two\n'))).toEqual(['child-log']);
  expect(broken(stdin('a', 1, 'AAA\n', 0), read(0, 'A'), read(2, 'A'))).toContain('child-log');
});

test('a signal to a pid outside the spawn log is a violation, a question is not', () => {
  const spawned: HistoryEvent = { what: 'spawned', session, pid: 100, start: '5' };
  const signalled = (pid: number, signal = 'SIGTERM', start?: string): HistoryEvent => ({
    what: 'signalled',
    pid,
    signal,
    ...(start === undefined ? {} : { start }),
  });
  expect(
    broken(spawned, signalled(100), signalled(-100, 'SIGKILL'), signalled(100, 'SIGTERM', '5'), signalled(7, '0')),
  ).toEqual([]);
  expect(broken(spawned, signalled(101))).toEqual(['foreign-signal']);
  expect(broken(spawned, signalled(100, 'SIGTERM', '6'))).toEqual(['foreign-signal']);
});

test('gigabytes are judged by hashes of the frames and the recipe of the bytes', () => {
  const noise = new Noise('seed');
  const size = 32_768;
  const source: HistoryEvent = { what: 'writes', session, stream: 'stdout', offset: 0, bytes: 1e9, noise: 'seed' };
  const seen = (connection: string, seq: number, from: number, keep: 'bytes' | 'hash' = 'hash'): HistoryEvent => {
    const bytes = noise.bytes(from, size);
    const common = { what: 'frame', connection, session, stream: 'stdout', seq, bytes: size } as const;
    return keep === 'hash' ? { ...common, sha256: hash(bytes) } : { ...common, data: bytes.toString('base64') };
  };
  const start = [source, ...spawn('a'), seen('a', 1, 0, 'bytes')];
  expect(broken(...start, seen('a', 2, size), seen('a', 3, 2 * size))).toEqual([]);
  expect(broken(...start, seen('a', 2, 2 * size))).toEqual(['bytes-equal']);
  expect(broken(...start, seen('a', 2, size), seen('a', 3, 3 * size))).toEqual(['bytes-equal']);

  // Two frames were lost: the place is found again by the bytes of the next one, and checked from there on.
  const reattach = (...replay: HistoryEvent[]) => [
    ...[...start, closed('a'), askReattach('b', 1)],
    ...[...replay, reattached('b', 5, { firstSeq: 4 })],
  ];
  expect(broken(...reattach(seen('b', 4, 70_001, 'bytes'), seen('b', 5, 70_001 + size)))).toEqual([]);
  expect(broken(...reattach(seen('b', 4, 70_001, 'bytes'), seen('b', 5, 70_002 + size)))).toEqual(['bytes-equal']);
  // Two frames cannot have carried that much.
  expect(broken(...reattach(seen('b', 4, 99_999, 'bytes'), seen('b', 5, 99_999 + size)))).toEqual(['bytes-equal']);
  expect(broken(...reattach(seen('b', 4, 70_001), seen('b', 5, 70_001 + size)))).toEqual(['child-log']);
});

test('no rule is without a forged history that breaks it', () => {
  const source = readFileSync(import.meta.filename, 'utf8');
  for (const rule of Object.keys(rules)) {
    expect(source).toContain(`'${rule}'`);
  }
});

test('the files of several writers are read in the order of time, without the torn end of a writer that was killed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  try {
    using one = new HistoryLog(join(directory, 'one'), 'one');
    using two = new HistoryLog(join(directory, 'two'), 'two');
    one.add({ what: 'connected', connection: 'a' });
    two.add({ what: 'spawned', session, pid: 1 });
    one.add({ what: 'closed', connection: 'a', end: 'daemon' });
    appendFileSync(two.path, '{"at":1,"by":"two","what":"conn');
    const records = readHistory([two.path, one.path]);
    expect(records.map(({ by, what }) => `${by} ${what}`)).toEqual(['one connected', 'two spawned', 'one closed']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
