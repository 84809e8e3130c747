/**
 * The record of a keeper, `keeper.json` in the run directory (spec durable.md §4). It says whom to look for and proves
 * nothing: a record is a text that anybody of this user may have written.
 */
import { join } from 'node:path';
import type { ProcessIdentity } from '../../platform/processes.ts';
import { keeperSocketName } from '../../platform/published-names.ts';
import { cookieBytes } from './channel/handshake.ts';
import type { VersionRange } from './channel/messages.ts';

/** A larger file is no record. */
export const maxRecordBytes = 4096;

export interface KeeperRecord {
  readonly pid: number;
  /** As the OS counts it. */
  readonly startTime: string;
  readonly boot: string;
  readonly pidNamespace: string;
  readonly version: string;
  readonly channel: VersionRange;
  readonly socket: string;
  /** What both sides of the channel must know. */
  readonly cookie: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/** Boot and pid namespace, apart. */
export function nodeParts(node: string | undefined): Pick<KeeperRecord, 'boot' | 'pidNamespace'> {
  const [boot = '', ...namespace] = (node ?? '').split('/');
  return { boot, pidNamespace: namespace.join('/') };
}

export function encodeRecord(record: KeeperRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/** @returns what is wrong with a text that is no record */
export function parseRecord(text: string): KeeperRecord | string {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return 'it is not JSON';
  }
  if (found === null || typeof found !== 'object') {
    return 'it is not an object';
  }
  const fields = found as Partial<Record<keyof KeeperRecord, unknown>>;
  for (const [name, isRight] of Object.entries(checks)) {
    if (!isRight(fields[name as keyof KeeperRecord])) {
      return `"${name}" is not as it should be`;
    }
  }
  return fields as unknown as KeeperRecord;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isFilled = (value: unknown): boolean => isText(value) && value !== '';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;

const checks: Record<keyof KeeperRecord, (value: unknown) => boolean> = {
  // 1 is never a keeper, and 0 and negative numbers mean groups to kill(2).
  pid: (value) => isCount(value) && (value as number) > 1 && (value as number) < 2 ** 31,
  startTime: isFilled,
  boot: isText,
  pidNamespace: isText,
  version: isFilled,
  channel: (value) =>
    Array.isArray(value) && value.length === 2 && value.every(isCount) && (value[0] as number) <= (value[1] as number),
  socket: isFilled,
  cookie: (value) => typeof value === 'string' && new RegExp(`^[0-9a-f]{${2 * cookieBytes}}$`).test(value),
  startedAt: isCount,
};

export function identityOf({ pid, startTime, boot, pidNamespace }: KeeperRecord): ProcessIdentity {
  const node = pidNamespace === '' ? boot : `${boot}/${pidNamespace}`;
  return { pid, start: startTime, node: node === '' ? undefined : node };
}

/**
 * Where the keeper of a run directory listens. A directory whose path is so long that its daemon's socket just fits has no
 * room for a longer name.
 * @param socketPath of the daemon
 */
export function keeperSocketPath(directory: string, socketPath: string): string {
  const usual = join(directory, keeperSocketName);
  if (Buffer.byteLength(usual) <= Math.max(shortestLimit, Buffer.byteLength(socketPath))) {
    return usual;
  }
  const short = join(directory, 'k');
  return short === socketPath ? join(directory, 'j') : short;
}

/** Of all systems; a path up to this length needs no other name. */
const shortestLimit = 103;
