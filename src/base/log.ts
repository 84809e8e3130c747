/**
 * The log of a process: lines `YYYY/MM/DD HH:MM:SS LEVEL [Component] text` in local time on stderr (spec modes.md §13),
 * which for the daemon is `remote-server.log`. One writer for all of it, so no line carries a secret or a control
 * character, and no failure of the log (full disk, closed descriptor) reaches the caller.
 */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { printable } from './printable.ts';
import { Secrets } from './secrets.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof levels)[number];

export type Component =
  | 'Server'
  | 'ServerHandler'
  | 'daemon'
  | 'process.Manager'
  | 'process.Registry'
  | 'keeper'
  | 'shellenv'
  | 'frameSink'
  | 'hostclean'
  | 'launcher'
  | 'LauncherHandler'
  | 'Install';

export interface Log {
  debug(component: Component, text: string): void;
  info(component: Component, text: string): void;
  warn(component: Component, text: string): void;
  error(component: Component, text: string): void;
  /** A line without time and level, at every threshold: the banner, reasons of a failed start. */
  raw(line: string): void;
  /** The same on standard output: the banner. That is the log as well, unless the launcher had to decline one (spec modes.md §6). */
  output(line: string): void;
  /** From now on `secret` is shown as `[redacted]`, wherever it turns up in a line. */
  redact(secret: string): void;
  /** For texts of other writers (wire log, printed settings) that must be free of the same secrets. */
  readonly secrets: Secrets;
  /** Lines lost so far, whole or in part, because they could not be written. The next one that can tells how many. */
  readonly droppedLines: number;
  /** Lines go through `write` from now on. */
  writeThrough(write: LogWrite): void;
}

/** Writes `bytes` and returns how many were taken; throws when none could be. */
export type LogWrite = (bytes: Buffer) => number;

/** The threshold that `CLAUSTRUM_LOG_LEVEL` names; unset, empty and unknown mean everything. */
export function levelNamed(text: string | undefined): Level {
  const wanted = text?.trim().toLowerCase();
  if (wanted === 'warning') {
    return 'warn';
  }
  return levels.find((level) => level === wanted) ?? 'debug';
}

export interface LogOptions {
  readonly level: Level;
  /** Tests replace standard error by it. */
  readonly write?: LogWrite;
  /** Tests replace standard output by it. */
  readonly writeOutput?: LogWrite;
}

export function createLog(options: LogOptions): Log {
  const threshold = levels.indexOf(options.level);
  let write = options.write ?? ((bytes: Buffer) => writeSync(2, bytes));
  const writeOutput = options.writeOutput ?? ((bytes: Buffer) => writeSync(1, bytes));
  const secrets = new Secrets();
  let droppedLines = 0;
  /** Lost since the last line that could be written, and why the last of them was. */
  let lost = { lines: 0, reason: '' };
  /** A line was cut in the middle; the next one must not look like its continuation. */
  let midLine = false;

  function put(line: string, to = write): void {
    const loss = `${lost.lines} log line(s) were lost: ${lost.reason}`;
    if (lost.lines > 0 && putWhole(stamped('warn', 'daemon', loss), write)) {
      lost = { lines: 0, reason: '' };
    }
    if (putWhole(line, to)) {
      return;
    }
    lost.lines++;
    droppedLines++;
  }

  function putWhole(line: string, to: LogWrite): boolean {
    // Secrets first: an escape or a cut in the middle of one would let the rest of it through.
    const safe = printable(secrets.hide(line));
    const bytes = Buffer.from(midLine ? `\n${safe}\n` : `${safe}\n`);
    let written = 0;
    try {
      while (written < bytes.length) {
        const taken = to(bytes.subarray(written));
        if (taken === 0) {
          break;
        }
        written += taken;
      }
    } catch (error) {
      // ENOSPC, EPIPE, EBADF, a full pipe nobody reads: the daemon is worth more than its log.
      lost.reason = nameOf(error as NodeJS.ErrnoException);
    }
    if (written > 0) {
      midLine = bytes[written - 1] !== 0x0a;
    }
    return written === bytes.length;
  }

  function at(level: Level): (component: Component, text: string) => void {
    if (levels.indexOf(level) < threshold) {
      return () => {};
    }
    return (component, text) => put(stamped(level, component, text));
  }

  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    raw: (line) => put(line),
    output: (line) => put(line, writeOutput),
    redact: (secret) => secrets.add(secret),
    secrets,
    get droppedLines() {
      return droppedLines;
    },
    writeThrough(changed) {
      write = changed;
    },
  };
}

/** libuv has no name for some errors, an exceeded quota among them. */
function nameOf(error: NodeJS.ErrnoException): string {
  const { code, errno = 0 } = error;
  if (code !== undefined && code !== 'UNKNOWN') {
    return code;
  }
  return Object.entries(constants.errno).find(([, number]) => number === -errno)?.[0] ?? String(error);
}

function stamped(level: Level, component: Component, text: string): string {
  return `${timestamp()} ${level.toUpperCase().padEnd(5)} [${component}] ${text}`;
}

/** The second that was last asked for, and its text: a busy daemon writes many lines in one. */
let second = Number.NaN;
let secondText = '';

function timestamp(): string {
  const milliseconds = Date.now();
  if (Math.floor(milliseconds / 1000) !== second) {
    second = Math.floor(milliseconds / 1000);
    secondText = timestampOf(new Date(milliseconds));
  }
  return secondText;
}

function timestampOf(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${now.getFullYear()}/${two(now.getMonth() + 1)}/${two(now.getDate())}`;
  return `${day} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}
