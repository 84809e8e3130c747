/** The record of one child, `children/<pid>.json` in the run directory (spec platform.md §2 "Child markers, records, reap"). */

/** A larger file is no record. */
export const maxRecordBytes = 4096;

export interface ChildRecord {
  readonly pid: number;
  /** Boot and pid namespace; empty when the OS does not tell. */
  readonly node: string;
  /** The machine, for run directories that several of them share; empty when it has no lasting name. */
  readonly host: string;
  /** Of the daemon that started the child. */
  readonly instance: string;
  readonly daemonPid: number;
  readonly daemonStart: string;
  /** What the child shows as its own name; empty in a record with `session`. */
  readonly argv0: string;
  /** The mark of its session (`HOLDFAST_SESSION`), by which it is recognised instead of by its name and the marks of its daemon. */
  readonly session?: string;
  /** A file that is enough to recognise the child by when it stands among its words: a script, whose argv[0] is its interpreter's. */
  readonly program?: string;
  /** Creation time of the child. */
  readonly start: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export function recordName(pid: number): string {
  return `${pid}.json`;
}

/** The order of the keys is part of the format. */
export function encodeRecord(record: ChildRecord): string {
  const { pid, node, host, instance, daemonPid, daemonStart, argv0, program, start, at } = record;
  return JSON.stringify({
    ...{ pid, node, host, instance, daemonPid, daemonStart, argv0 },
    ...(program === undefined ? {} : { program }),
    ...(record.session === undefined ? {} : { session: record.session }),
    ...{ start, at },
  });
}

/** @returns `undefined` for a text that is no record of the file of that name */
export function parseRecord(name: string, text: string): ChildRecord | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (found === null || typeof found !== 'object') {
    return undefined;
  }
  const {
    pid,
    node = '',
    host = '',
    instance,
    daemonPid,
    daemonStart,
    argv0,
    program,
    session,
    start,
    at = 0,
  }: Untrusted = found;
  if (!isPid(pid) || !isPid(daemonPid) || name !== recordName(pid) || typeof at !== 'number') {
    return undefined;
  }
  if (!isText(node) || !isText(host) || !isText(instance) || (program !== undefined && !isText(program))) {
    return undefined;
  }
  if (session !== undefined && !isFilled(session)) {
    return undefined;
  }
  if (!isFilled(daemonStart) || !isText(argv0) || (argv0 === '' && session === undefined) || !isFilled(start)) {
    return undefined;
  }
  const optional = { ...(program === undefined ? {} : { program }), ...(session === undefined ? {} : { session }) };
  return { pid, node, host, instance, daemonPid, daemonStart, argv0, ...optional, start, at };
}

/** The boot in the text of a node, which is `<boot>/<pid namespace>`; empty when there is none. */
export function bootOf(node: string): string {
  return node.replace(/\/.*$/s, '');
}

type Untrusted = Partial<Record<keyof ChildRecord, unknown>>;

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isFilled(value: unknown): value is string {
  return isText(value) && value !== '';
}

/** 0 and negative numbers mean groups to kill(2), and 1 is never a child of ours. */
function isPid(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 1 && (value as number) < 2 ** 31;
}
