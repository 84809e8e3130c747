/** Who a process is: start time, boot and pid namespace, read from /proc or libproc (spec platform.md §2 "Process identity"). */
import { readFileSync, readlinkSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import type { Processes, ProcessIdentity, SignalName } from '../processes.ts';
import { procStat } from './proc-stat.ts';
import type { PosixSystem } from './system.ts';

export interface Identities
  extends Pick<Processes, 'identify' | 'startSeconds' | 'commandLine' | 'signalIfSame' | 'self' | 'ownStartSeconds'> {
  /** Works on a zombie, too (spec process.md §3.7). */
  startSeconds(pid: number): number;
  /** The creation time of a process that starts at this moment, as the OS counts it; `undefined` where only the system can say it. */
  startNow(): number | undefined;
  /**
   * When a child was created that has been started since `before`, without a look at it where the clock has stood at the same value
   * all the time. Of the first such child the system is asked as well: where it counts otherwise (some sandboxes), it is always asked.
   * @returns `undefined`: ask the system
   */
  startSince(before: number | undefined, pid: number): KnownStart | undefined;
  /** What the system says; works on a zombie, too. */
  startOf(pid: number): KnownStart;
}

/** The creation time of a process. */
export interface KnownStart {
  /** As `ChildMarkers.startOf` tells it; `undefined` where that is to be asked itself. */
  readonly start: string | undefined;
  /** Since the epoch; 0 when the OS would not tell. */
  readonly seconds: number;
}

export function createIdentities(os: PosixSystem): Identities {
  const source = os === 'linux' ? linuxSource() : darwinSource();

  function identify(pid: number): ProcessIdentity | undefined {
    const start = source.liveStart(pid);
    return start === undefined ? undefined : { pid, start, node: source.node() };
  }

  let clockIsRight: boolean | undefined;
  return {
    identify,
    startSeconds: (pid) => source.startOf(pid).seconds,
    startOf: source.startOf,
    startNow: source.startNow,
    startSince(before, pid) {
      const now = source.startNow();
      if (now === undefined || now !== before || clockIsRight === false) {
        return undefined;
      }
      const seconds = source.secondsOf(now);
      clockIsRight ??= source.startOf(pid).seconds === seconds;
      return clockIsRight ? { start: String(now), seconds } : undefined;
    },
    ownStartSeconds: () => source.startOf(process.pid).seconds,
    commandLine: source.commandLine,
    self() {
      return identify(process.pid) ?? { pid: process.pid, start: '', node: source.node() };
    },
    signalIfSame(target, name) {
      // The descriptor is taken first: from then on it means this one process, whatever happens to the number.
      const pidfd = openPidfd(target.pid);
      try {
        const found = identify(target.pid);
        if (found === undefined) {
          return 'gone';
        }
        if (found.start !== target.start || found.node !== target.node) {
          return 'gone';
        }
        return pidfd === undefined ? sendByPid(target.pid, name) : sendByPidfd(pidfd, name);
      } finally {
        if (pidfd !== undefined) {
          libc.close(pidfd);
        }
      }
    },
  };
}

export const signalNumbers: Record<SignalName, number> = { HUP: 1, INT: 2, KILL: 9, TERM: 15 };

/** `undefined` where the kernel has none, or there is no such process. */
export function openPidfd(pid: number): number | undefined {
  const fd = libc.syscall?.(libc.SYS_pidfd_open, pid, 0, 0, 0) ?? -1;
  return fd < 0 ? undefined : Number(fd);
}

function sendByPidfd(pidfd: number, name: SignalName): 'sent' | 'refused' {
  return libc.syscall?.(libc.SYS_pidfd_send_signal, pidfd, signalNumbers[name], 0, 0) === 0 ? 'sent' : 'refused';
}

/** Old kernels and macOS: there is no way to hold the process on these systems; its identity was read just before. */
function sendByPid(pid: number, name: SignalName): 'sent' | 'gone' | 'refused' {
  try {
    process.kill(pid, `SIG${name}`);
    return 'sent';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'gone' : 'refused';
  }
}

interface Source {
  /** `undefined` for a zombie, a thread id or nothing. */
  liveStart(pid: number): string | undefined;
  startOf(pid: number): KnownStart;
  /** In the unit of the OS. */
  startNow(): number | undefined;
  /** Of a value of `startNow`, since the epoch. */
  secondsOf(start: number): number;
  commandLine(pid: number): string[] | undefined;
  node(): string | undefined;
}

function linuxSource(): Source {
  const ticksPerSecond = libc.sysconf(libc._SC_CLK_TCK);
  const sinceBoot = new BigInt64Array(2);
  let node: string | undefined;
  let bootSeconds: number | undefined;

  /** 0 where there is no /proc to tell it. */
  function bootTime(): number {
    try {
      return Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? 0);
    } catch {
      return 0;
    }
  }

  /** Seconds since the epoch. */
  function secondsOf(startTicks: number): number {
    bootSeconds ??= bootTime();
    // One division at the end keeps the shortest form at two decimals for 100 ticks a second.
    return bootSeconds === 0 ? 0 : (bootSeconds * ticksPerSecond + startTicks) / ticksPerSecond;
  }

  return {
    liveStart(pid) {
      const found = procStat(pid);
      if (found === undefined || found.state === 'Z' || found.state === 'X' || found.isThread) {
        return undefined;
      }
      return found.startTicks;
    },
    startOf(pid) {
      const found = procStat(pid);
      return { start: found?.startTicks, seconds: found === undefined ? 0 : secondsOf(Number(found.startTicks)) };
    },
    secondsOf,
    startNow() {
      if (libc.clock_gettime?.(libc.CLOCK_BOOTTIME, sinceBoot) !== 0) {
        return undefined;
      }
      const ticks = (Number(sinceBoot[1]) * ticksPerSecond) / 1e9;
      return Number(sinceBoot[0]) * ticksPerSecond + Math.floor(ticks);
    },
    commandLine(pid) {
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return text === '' ? undefined : text.replace(/\0$/, '').split('\0');
      } catch {
        return undefined;
      }
    },
    node() {
      if (node !== undefined) {
        return node;
      }
      try {
        const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
        node = `${boot}/${readlinkSync('/proc/self/ns/pid')}`;
        return node;
      } catch {
        return undefined;
      }
    },
  };
}

function darwinSource(): Source {
  const zombie = 5;
  const information = Buffer.alloc(libc.PROC_BSDINFO_BYTES);

  function read(
    pid: number,
  ): { readonly status: number; readonly seconds: bigint; readonly micros: bigint } | undefined {
    const size =
      libc.proc_pidinfo?.(pid, libc.PROC_PIDTBSDINFO, libc.PROC_FIND_ZOMBIES, information, information.length) ?? 0;
    if (size !== information.length) {
      return undefined;
    }
    return {
      status: information.readUInt32LE(libc.BSDINFO_STATUS_OFFSET),
      seconds: information.readBigUInt64LE(libc.BSDINFO_START_SECONDS_OFFSET),
      micros: information.readBigUInt64LE(libc.BSDINFO_START_MICROSECONDS_OFFSET),
    };
  }

  let node: string | undefined;
  return {
    liveStart(pid) {
      const found = read(pid);
      return found === undefined || found.status === zombie ? undefined : `${found.seconds}.${found.micros}`;
    },
    startOf(pid) {
      const found = read(pid);
      return {
        start: undefined,
        seconds: found === undefined ? 0 : Number(found.seconds) + Number(found.micros) / 1e6,
      };
    },
    startNow: () => undefined,
    secondsOf: (start) => start,
    commandLine(pid) {
      return processArguments(pid);
    },
    node() {
      node ??= bootSession();
      return node;
    },
  };
}

/** macOS. Words and environment of a process; both empty when they cannot be read. */
export function argumentBlock(pid: number): { readonly words: string[]; readonly environment: string[] } {
  const environment: string[] = [];
  const words = processArguments(pid, environment) ?? [];
  return { words, environment };
}

/** KERN_PROCARGS2: argc, the executable's path, padding, argv, then the environment up to an empty text. */
function processArguments(pid: number, environment?: string[]): string[] | undefined {
  const size = new BigUint64Array([1n << 20n]);
  const block = Buffer.alloc(1 << 20);
  const name = new Int32Array([libc.CTL_KERN, libc.KERN_PROCARGS2, pid]);
  if (libc.sysctl?.(name, 3, block, size, null, 0) !== 0) {
    return undefined;
  }
  const count = block.readInt32LE(0);
  let at = block.indexOf(0, 4);
  while (at < block.length && block[at] === 0) {
    at++;
  }
  const words: string[] = [];
  while (at < Number(size[0])) {
    const end = block.indexOf(0, at);
    const text = block.toString('utf8', at, end);
    at = end + 1;
    if (words.length < count) {
      words.push(text);
    } else if (environment === undefined || text === '') {
      break;
    } else {
      environment.push(text);
    }
  }
  return words;
}

function bootSession(): string | undefined {
  const size = new BigUint64Array([64n]);
  const text = Buffer.alloc(64);
  if (libc.sysctlbyname?.('kern.bootsessionuuid', text, size, null, 0) !== 0) {
    return undefined;
  }
  return text.toString('latin1', 0, Number(size[0])).replace(/\0+$/, '');
}
