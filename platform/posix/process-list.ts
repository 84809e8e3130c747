/** All processes: from /proc on Linux, one `ps` on macOS, whose task information cannot be tried here. */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { HostError } from '../errors.ts';
import type { ListedProcess, ProcessList } from '../process-list.ts';
import { whyNoProcesses } from './proc-files.ts';
import type { PosixSystem } from './system.ts';

export async function createProcessList(os: PosixSystem): Promise<ProcessList> {
  return os === 'linux' ? linuxList() : darwinList();
}

// ---- Linux. No native code: what sysconf would tell stands in the auxiliary vector.

const auxiliaryPageSize = 6;
const auxiliaryClockTicks = 17;

function linuxList(): ProcessList {
  const { pageBytes, ticksPerSecond } = systemUnits();
  const bootSeconds = Number(/^btime (\d+)$/m.exec(readText('/proc/stat') ?? '')?.[1] ?? 0);
  const node = nodeText();
  const buffer = Buffer.alloc(4096);

  function listed(pid: number): ListedProcess | undefined {
    let fd: number;
    try {
      fd = openSync(`/proc/${pid}/stat`, 'r');
    } catch {
      return undefined;
    }
    let text: string;
    let user: number;
    try {
      text = buffer.latin1Slice(0, readSync(fd, buffer));
      user = fstatSync(fd).uid;
    } catch {
      return undefined;
    } finally {
      closeSync(fd);
    }
    // From field 3 on: the name in field 2 may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, parent, group] = fields;
    const startTicks = fields[19];
    if (state === undefined || startTicks === undefined || state === 'Z' || state === 'X') {
      return undefined;
    }
    let environment: string | undefined;
    let words: readonly string[] | undefined;
    return {
      identity: { pid, start: startTicks, node },
      parent: Number(parent),
      group: Number(group),
      user,
      startSeconds: (bootSeconds * ticksPerSecond + Number(startTicks)) / ticksPerSecond,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
      memoryBytes: Number(fields[21]) * pageBytes,
      words() {
        words ??= wordsOf(pid, fields[20] !== '0') ?? [text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'))];
        return words;
      },
      variable(name) {
        // As bytes: most environments do not have the variable, and those need not become text.
        environment ??= `\0${readSettled(`/proc/${pid}/environ`, fields[20] !== '0') ?? ''}`;
        const at = environment.indexOf(`\0${name}=`);
        if (at < 0) {
          return undefined;
        }
        const begin = at + name.length + 2;
        const end = environment.indexOf('\0', begin);
        return Buffer.from(environment.slice(begin, end < 0 ? undefined : end), 'latin1').toString();
      },
    };
  }

  return {
    user: process.geteuid?.() ?? -1,
    node,
    all() {
      const found = namesIn('/proc').flatMap((name) => {
        const pid = Number(name);
        return Number.isInteger(pid) ? (listed(pid) ?? []) : [];
      });
      // Our own process is among them wherever any can be seen.
      if (found.length === 0) {
        throw new HostError(
          `the processes of this host cannot be seen: ${whyNoProcesses()}`,
          'mount -t proc proc /proc, or let it be read',
        );
      }
      return found;
    },
  };
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function systemUnits(): { readonly pageBytes: number; readonly ticksPerSecond: number } {
  const found = new Map<number, number>();
  const vector = auxiliaryVector();
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    found.set(Number(vector.readBigUInt64LE(at)), Number(vector.readBigUInt64LE(at + 8)));
  }
  return {
    pageBytes: found.get(auxiliaryPageSize) ?? 4096,
    ticksPerSecond: found.get(auxiliaryClockTicks) ?? 100,
  };
}

/** Empty without `/proc`; then there are no processes to be counted either. */
function auxiliaryVector(): Buffer {
  try {
    return readFileSync('/proc/self/auxv');
  } catch {
    return Buffer.alloc(0);
  }
}

/** As identity.ts has it. */
function nodeText(): string | undefined {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}

/** `undefined` when it cannot be read, or has none: a thread of the kernel, a process that is ending. */
function wordsOf(pid: number, hasMemory: boolean): readonly string[] | undefined {
  const line = Buffer.from(readSettled(`/proc/${pid}/cmdline`, hasMemory) ?? '', 'latin1').toString();
  return line === '' ? undefined : line.replace(/\0$/, '').split('\0');
}

/** A process that is just becoming another program has neither words nor environment for a moment. */
const settledLooks = 5;
const settledPauseMs = 1;

/** @param hasMemory a thread of the kernel has none, and neither words nor environment */
function readSettled(path: string, hasMemory: boolean): string | undefined {
  for (let look = 1; hasMemory; look++) {
    const text = readProcFile(path);
    if (text !== '' || look === settledLooks) {
      return text;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, settledPauseMs);
  }
  return undefined;
}

/** What one read of a file of /proc is read into. */
const pieces = Buffer.alloc(65_536);

/** With fewer system calls than `readFileSync`, which asks for the size of a file first: there are many such files. */
function readProcFile(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    let text = '';
    for (;;) {
      const count = readSync(fd, pieces);
      text += pieces.latin1Slice(0, count);
      // The kernel fills the buffer as long as there is more.
      if (count < pieces.length) {
        return text;
      }
    }
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

// ---- macOS

const psColumns = 'pid=,ppid=,pgid=,uid=,rss=,time=,comm=';

async function darwinList(): Promise<ProcessList> {
  const [{ argumentBlock, createIdentities }] = await Promise.all([import('./identity.ts')]);
  const identities = createIdentities('darwin');
  return {
    user: process.geteuid?.() ?? -1,
    node: identities.self().node,
    all() {
      const table = execFileSync('/bin/ps', ['-A', '-o', psColumns], { encoding: 'utf8', maxBuffer: 1 << 26 });
      return psRows(table).flatMap(({ name, ...row }): ListedProcess[] => {
        const identity = identities.identify(row.pid);
        if (identity === undefined) {
          return [];
        }
        let environment: readonly string[] | undefined;
        return [
          {
            ...row,
            identity,
            startSeconds: identities.startSeconds(row.pid),
            words: () => identities.commandLine(row.pid) ?? [name],
            variable(wanted) {
              environment ??= argumentBlock(row.pid).environment;
              return environment.find((each) => each.startsWith(`${wanted}=`))?.slice(wanted.length + 1);
            },
          },
        ];
      });
    },
  };
}

interface PsRow extends Pick<ListedProcess, 'parent' | 'group' | 'user' | 'memoryBytes' | 'cpuSeconds'> {
  readonly pid: number;
  readonly name: string;
}

/** What macOS's `ps` prints; a time is `[[d-]h:]m:s.cc`. */
export function psRows(table: string): PsRow[] {
  return table.split('\n').flatMap((line): PsRow[] => {
    const found = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(?:(\d+)-)?([\d:.]+)\s+(.*)$/.exec(line);
    if (found === null) {
      return [];
    }
    const [, pid, parent, group, user, kilobytes, days = '0', time = '', name = ''] = found;
    return [
      {
        pid: Number(pid),
        parent: Number(parent),
        group: Number(group),
        user: Number(user),
        memoryBytes: Number(kilobytes) * 1024,
        cpuSeconds: time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0) + Number(days) * 86_400,
        name,
      },
    ];
  });
}
