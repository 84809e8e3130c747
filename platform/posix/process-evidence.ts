/** What a process that is no child of ours shows of itself: group, user, words, marks (spec platform.md §2 "Process identity"). */
import { readdirSync, readFileSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import type { ProcessEvidence } from '../child-markers.ts';
import { argumentBlock, type Identities } from './identity.ts';
import { procStat } from './proc-stat.ts';
import type { PosixSystem } from './system.ts';

export interface EvidenceReader {
  /** `undefined` for a zombie, a thread id, a process that is just ending, or nothing. */
  of(pid: number): ProcessEvidence | undefined;
  startOf(pid: number): string | undefined;
  /** Numbers of the process groups that have a member which is no zombie. */
  livingGroups(): ReadonlySet<number>;
  /** See `ChildMarkers.carrying`. */
  carrying(name: string, value: string): Promise<ProcessEvidence[]>;
}

/** So many processes are looked at before others get their turn. */
const looksAtOnce = 64;

async function carryingAmong(
  pids: readonly number[],
  of: (pid: number) => ProcessEvidence | undefined,
  name: string,
  value: string,
): Promise<ProcessEvidence[]> {
  const user = process.geteuid?.() ?? -1;
  const found: ProcessEvidence[] = [];
  for (const [index, pid] of pids.entries()) {
    if (index % looksAtOnce === looksAtOnce - 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const evidence = pid === process.pid ? undefined : of(pid);
    if (evidence?.user === user && evidence.variable(name) === value) {
      found.push(evidence);
    }
  }
  return found;
}

export function createEvidenceReader(os: PosixSystem, identities: Identities): EvidenceReader {
  return os === 'linux' ? linuxReader(identities) : darwinReader(identities);
}

function linuxReader({ identify, commandLine }: Identities): EvidenceReader {
  function read(pid: number, file: string): string | undefined {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1');
    } catch {
      return undefined;
    }
  }

  const allPids = (): number[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);

  return {
    carrying(name, value) {
      return carryingAmong(allPids(), this.of, name, value);
    },
    of(pid) {
      const identity = identify(pid);
      const fields = procStat(pid);
      const user = /^Uid:\t(\d+)/m.exec(read(pid, 'status') ?? '')?.[1];
      // Without memory it is ending, and nothing it shows can be relied on any more.
      if (identity === undefined || fields === undefined || user === undefined || fields.memory === '0') {
        return undefined;
      }
      let environment: string[] | undefined;
      let fault: unknown;
      const readEnvironment = (): string[] => {
        try {
          return textOf(readFileSync(`/proc/${pid}/environ`, 'latin1')).split('\0');
        } catch (error) {
          fault = error;
          return [];
        }
      };
      return {
        identity,
        start: identity.start,
        user: Number(user),
        leadsGroup: fields.group === pid,
        words: commandLine(pid) ?? [],
        variable(name) {
          environment ??= readEnvironment();
          return variableIn(environment, name);
        },
        environmentError() {
          environment ??= readEnvironment();
          return fault;
        },
      };
    },
    startOf: (pid) => identify(pid)?.start,
    livingGroups() {
      const groups = new Set<number>();
      for (const pid of allPids()) {
        const found = procStat(pid);
        if (found !== undefined && found.state !== 'Z' && found.state !== 'X') {
          groups.add(found.group);
        }
      }
      return groups;
    },
  };
}

/** Read as bytes first: a text that is no UTF-8 must not become another one. */
function textOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function variableIn(environment: readonly string[], name: string): string | undefined {
  return environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}

function darwinReader({ identify, startSeconds }: Identities): EvidenceReader {
  const information = Buffer.alloc(libc.PROC_BSDINFO_BYTES);
  const startOf = (pid: number): string | undefined =>
    identify(pid) === undefined ? undefined : startText(startSeconds(pid));
  const allPids = (): number[] => {
    const pids = new Int32Array(65_536);
    const bytes = libc.proc_listallpids?.(pids, pids.byteLength) ?? 0;
    return [...pids.subarray(0, Math.max(0, bytes))];
  };

  return {
    carrying(name, value) {
      return carryingAmong(allPids(), this.of, name, value);
    },
    of(pid) {
      const identity = identify(pid);
      const bytes = libc.proc_pidinfo?.(pid, libc.PROC_PIDTBSDINFO, 0, information, information.length);
      if (identity === undefined || bytes !== information.length) {
        return undefined;
      }
      const user = information.readUInt32LE(libc.BSDINFO_REAL_USER_OFFSET);
      const leadsGroup = information.readUInt32LE(libc.BSDINFO_GROUP_OFFSET) === pid;
      const block = argumentBlock(pid);
      return {
        identity,
        start: startText(startSeconds(pid)),
        user,
        leadsGroup,
        words: block.words,
        variable: (name) => variableIn(block.environment, name),
      };
    },
    startOf,
    livingGroups() {
      const groups = new Set<number>();
      for (const pid of allPids()) {
        const size = libc.proc_pidinfo?.(pid, libc.PROC_PIDTBSDINFO, 0, information, information.length);
        if (size !== information.length || identify(pid) === undefined) {
          continue;
        }
        groups.add(information.readUInt32LE(libc.BSDINFO_GROUP_OFFSET));
      }
      return groups;
    },
  };
}

/** `ps -o lstart=` under LC_ALL=C and TZ=UTC, runs of blanks made one: a changed time zone must not change an identity. */
export function startText(seconds: number): string {
  const [day = '', date, month, year, time] = new Date(Math.floor(seconds) * 1000).toUTCString().split(' ');
  return `${day.slice(0, 3)} ${month} ${Number(date)} ${time} ${year}`;
}
