/** What the log of a daemon tells of a process (docs/operators.md "Log"), also of a daemon that is gone. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printable } from '../../base/printable.ts';
import { logFileName, olderLogFileName } from '../../run-directory/names.ts';

export interface LogStory {
  readonly id: string;
  readonly pid: number;
  /** Milliseconds since the epoch, to the second. */
  readonly startedAt: number;
  readonly command: string;
  readonly asked:
    | { readonly by: string; readonly how: string; readonly signal: string; readonly at: number }
    | undefined;
  readonly escalatedAt: number | undefined;
  readonly exit: { readonly at: number; readonly code: number; readonly signal: string | undefined } | undefined;
  /** Whether the daemon has said farewell after the start of the process. */
  readonly hasShutDown: boolean;
  /** Every line about the process. */
  readonly lines: readonly string[];
}

const lineForm = /^(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d) \S+\s+\[([^\]]+)\] (.*)$/;

/** The log of a run directory, the older part first; empty when there is none. */
export function readLog(runDirectory: string): string {
  return [olderLogFileName, logFileName].map((name) => textOf(join(runDirectory, name))).join('');
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The last process of that id, or with that pid; `undefined`: the log does not speak of one. */
export function storyOf(log: string, idOrPid: string): LogStory | undefined {
  const lines = log.split('\n').flatMap((line) => parsed(line) ?? []);
  const starts = lines.flatMap((line, index) => {
    const found = line.component === 'process.Manager' ? startOf(line.text) : undefined;
    return found === undefined ? [] : [{ ...found, at: line.at, index }];
  });
  const start =
    starts.findLast(({ id }) => id === printable(idOrPid)) ?? starts.findLast(({ pid }) => String(pid) === idOrPid);
  if (start === undefined) {
    return undefined;
  }
  const next = starts.find(({ index, id }) => index > start.index && id === start.id);
  const after = lines.slice(start.index, next?.index);
  const about = after.filter(({ component, text }) => component === 'process.Manager' && isAbout(text, start.id));
  const told = <T>(read: (text: string) => T | undefined): (T & { at: number }) | undefined => {
    for (const { text, at } of about.toReversed()) {
      const found = read(text.slice(`Process ${start.id}`.length));
      if (found !== undefined) {
        return { ...found, at };
      }
    }
    return undefined;
  };
  const { id, pid, at: startedAt, command } = start;
  return {
    ...{ id, pid, startedAt, command },
    asked: told(readAsked),
    escalatedAt: told((text) => (/^ outlived \w+: KILL to its group/.test(text) ? {} : undefined))?.at,
    exit: told(readExit),
    hasShutDown: after.some(({ component, text }) => component === 'Server' && text === 'shutdown requested'),
    lines: about.map(({ line }) => line),
  };
}

interface LogLine {
  readonly line: string;
  readonly at: number;
  readonly component: string;
  readonly text: string;
}

function parsed(line: string): LogLine | undefined {
  const found = lineForm.exec(line);
  if (found === null) {
    return undefined;
  }
  const [year = 0, month = 0, day, hour, minute, second] = found.slice(1, 7).map(Number);
  const at = new Date(year, month - 1, day, hour, minute, second).getTime();
  return { line, at, component: found[7] ?? '', text: found[8] ?? '' };
}

function startOf(text: string): { readonly id: string; readonly pid: number; readonly command: string } | undefined {
  // An id may hold anything, so the last place that fits counts.
  const found = /^Process (.*) started, PID=(\d+), command=(.*)$/.exec(text);
  return found === null ? undefined : { id: found[1] ?? '', pid: Number(found[2]), command: found[3] ?? '' };
}

/** The id is followed by a colon or a blank, and another id may begin with this one. */
function isAbout(text: string, id: string): boolean {
  return (
    text.startsWith(`Process ${id}: `) ||
    text.startsWith(`Process ${id} exited `) ||
    text.startsWith(`Process ${id} started, `) ||
    text.startsWith(`Process ${id} outlived `)
  );
}

function readAsked(text: string): { readonly by: string; readonly how: string; readonly signal: string } | undefined {
  const [, by = '', how = '', signal = ''] = /^: end asked for by (\S+) \((\S+) (\w+)\)/.exec(text) ?? [];
  return by === '' ? undefined : { by, how, signal };
}

function readExit(text: string): { readonly code: number; readonly signal: string | undefined } | undefined {
  const found = /^ exited with code (-?\d+)(?:, terminated by (\w+))?/.exec(text);
  return found === null ? undefined : { code: Number(found[1]), signal: found[2] };
}
