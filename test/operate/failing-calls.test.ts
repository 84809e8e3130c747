/**
 * Fault 13 of docs/faults.md for the daemon's own files: each system call of a write fails in turn, and in turn the
 * process dies at it. `HOLDFAST_TEST_MATRIX=1` prints the matrix of that page.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { byLength, limitMs } from '../faults/support/length.ts';
import { few, passMatrix } from '../faults/support/matrix.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { bundledScript, keepsCompiledCode } from '../support/holdfast.ts';
import { linux, testNeeding, tracing } from '../support/needs.ts';

const testCalls = testNeeding(linux, tracing());
const script = bundledScript('test/operate/fixtures/write-state.ts');

const words: Record<string, string> = {
  ENOSPC: 'no space left on device',
  EDQUOT: 'disk quota exceeded',
  EIO: 'input/output error',
  EMFILE: 'too many open files',
  EACCES: 'permission denied',
  EROFS: 'read-only file system',
  EPERM: 'operation not permitted',
  EOPNOTSUPP: 'operation not supported',
};

/** Which errors a call can really have here. */
const errorsOf: Record<string, readonly string[]> = {
  openat: ['ENOSPC', 'EDQUOT', 'EMFILE', 'EACCES', 'EROFS'],
  mkdir: ['ENOSPC', 'EROFS'],
  write: ['ENOSPC', 'EDQUOT', 'EIO'],
  pwrite64: ['ENOSPC', 'EIO'],
  fchmod: ['EIO', 'EROFS'],
  ftruncate: ['EIO'],
  rename: ['ENOSPC', 'EIO', 'EROFS'],
  statx: ['EIO'],
  dup2: ['EMFILE'],
  close: ['EIO'],
};

/** What sandboxes, immutable files and file systems without something answer to any call. A full run has them everywhere. */
const refusals = byLength<readonly string[]>([], ['EPERM', 'EROFS', 'EOPNOTSUPP']);
const allErrorsOf = (call: string): string[] => [...new Set([...(errorsOf[call] ?? []), ...refusals])];

interface Result {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  // biome-ignore lint/suspicious/noExplicitAny: each kind of state prints its own shape.
  readonly outcome: any;
  readonly trace: string;
}

function run(what: string, folder: string, call: string, rules: readonly string[]): Result {
  const trace = join(temporaryFolder(), 'trace');
  // What the runtime itself says belongs to the log in a daemon too.
  const log = openSync(join(folder, 'remote-server.log'), 'a', 0o600);
  // Without -f only the main thread is looked at, which does all of this; `when` counts the calls of one thread.
  const rest = [`trace=${call},access`, ...rules].flatMap((rule) => ['-e', rule]);
  const result = spawnSync('strace', ['-y', '-qq', '-o', trace, ...rest, process.execPath, script, what, folder], {
    env: { ...process.env, ...keepsCompiledCode },
    stdio: ['ignore', what === 'log' ? log : 'ignore', what === 'log' ? log : 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  closeSync(log);
  const printed = String(result.output[3] ?? '');
  const outcome = printed === '' ? undefined : JSON.parse(printed);
  return { status: result.status, signal: result.signal, outcome, trace: readFileSync(trace, 'utf8') };
}

/** Numbers of the calls that concern the state itself, as strace counts them. */
function callsOn(call: string, names: RegExp, trace: string): number[] {
  const begin = trace.indexOf('begins-here');
  const calls = (text: string): string[] => text.split('\n').filter((line) => line.startsWith(`${call}(`));
  const before = calls(trace.slice(0, begin)).length;
  const lines = calls(trace.slice(begin, trace.indexOf('ends-here')));
  return lines.flatMap((line, index) => (names.test(line) ? [before + index + 1] : []));
}

const matrix = passMatrix();

interface State {
  readonly what: string;
  /** Paths that belong to it, in a line of strace. */
  readonly names: RegExp;
  readonly calls: readonly string[];
  /** Puts an older state there. */
  prepare(folder: string): void;
  /** Holds for whatever has failed. */
  check(folder: string, outcome: Result['outcome'], failed: { readonly call: string; readonly error: string }): void;
  /** Holds for a process that died at whatever call. */
  checkDead(folder: string): void;
}

/** A file that is replaced whole: the old one or the new one, and nothing beside it. */
function replacedFile(
  what: string,
  path: (folder: string) => string,
  names: RegExp,
  calls: readonly string[],
  fresh: string,
): State {
  const old = 'the old one';
  const folderOf = (folder: string): string => join(path(folder), '..');
  return {
    what,
    names,
    calls,
    prepare(folder) {
      mkdirSync(folderOf(folder), { recursive: true, mode: 0o700 });
      writeFileSync(path(folder), old, { mode: 0o600 });
    },
    check(folder, outcome, { error }) {
      expect(readFileSync(path(folder), 'utf8')).toBe(outcome.written ? fresh : old);
      if (!outcome.written) {
        expect(outcome.reason).toBe(words[error]);
      }
      expect(statSync(path(folder)).mode & 0o777).toBe(0o600);
      const beside = readdirSync(folderOf(folder)).filter((name) => /\.token-|\.rec-/.test(name));
      expect(beside).toEqual([]);
    },
    checkDead: (folder) => expect([old, fresh]).toContain(readFileSync(path(folder), 'utf8')),
  };
}

const logLine = /^(\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d (INFO |WARN ) \[(Server|daemon)\] .+)$/;
const textOf = (folder: string, name: string): string =>
  ['.old', '']
    .map((end) => join(folder, name + end))
    .filter(existsSync)
    .map((file) => readFileSync(file, 'utf8'))
    .join('');

const states: readonly State[] = [
  replacedFile(
    'token',
    (folder) => join(folder, 'daemon.token'),
    /daemon\.token/,
    ['openat', 'fchmod', 'write', 'rename', 'close'],
    'the new token',
  ),
  replacedFile(
    'record',
    (folder) => join(folder, 'children', '4711.json'),
    /children|\.rec-/,
    ['mkdir', 'openat', 'write', 'rename', 'close'],
    'the new record',
  ),
  {
    what: 'lock',
    names: /daemon\.lock/,
    calls: ['openat', 'fchmod', 'ftruncate', 'pwrite64'],
    prepare: (folder) => writeFileSync(join(folder, 'daemon.lock'), '{"pid":1,"role":"serve"}'),
    check(folder, outcome) {
      const text = readFileSync(join(folder, 'daemon.lock'), 'utf8');
      // The record is written in place: one that cannot be is the old one, or none.
      if (outcome.written) {
        expect(text).toBe('{"pid":4711,"role":"serve"}');
      } else {
        expect(['{"pid":1,"role":"serve"}', '']).toContain(text);
      }
    },
    checkDead: (folder) =>
      expect(['{"pid":1,"role":"serve"}', '{"pid":4711,"role":"serve"}', '']).toContain(
        readFileSync(join(folder, 'daemon.lock'), 'utf8'),
      ),
  },
  {
    what: 'log',
    names: /remote-server\.log/,
    calls: ['openat', 'write', 'rename', 'fchmod', 'dup2', 'close', 'statx'],
    prepare: () => {},
    check(folder, outcome) {
      const text = textOf(folder, 'remote-server.log');
      expect(text.split('\n').filter((line) => line !== '' && !logLine.test(line))).toEqual([]);
      const seen = [...text.matchAll(/ line (\d{3})$/gm)].map(([, n]) => Number(n));
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
      // Every line is there, or counted as lost, or told as gone with an older file.
      if (!text.includes('older lines are gone')) {
        expect(seen.length + outcome.lost).toBeGreaterThanOrEqual(outcome.rotations > 1 ? 1 : 60);
      }
      if (outcome.lost > 0 && seen.at(-1) === 59) {
        expect(text).toMatch(/\d+ log line\(s\) were lost: E[A-Z]+$/m);
      }
    },
    checkDead(folder) {
      const text = textOf(folder, 'remote-server.log');
      expect(text.split('\n').filter((line) => line !== '' && !logLine.test(line))).toEqual([]);
    },
  },
  {
    what: 'wire',
    names: /wire\.jsonl/,
    calls: ['openat', 'write', 'rename', 'fchmod', 'statx', 'close'],
    prepare: (folder) => writeFileSync(join(folder, 'wire.jsonl'), ''),
    check(folder, outcome) {
      // One that cannot be opened at the start ends the start, with its reason.
      if (outcome === undefined) {
        return;
      }
      const lines = textOf(folder, 'wire.jsonl').split('\n').slice(0, -1);
      for (const line of lines) {
        JSON.parse(line);
      }
      expect(lines.length + outcome.lost).toBe(60);
    },
    checkDead(folder) {
      for (const line of textOf(folder, 'wire.jsonl').split('\n').slice(0, -1)) {
        JSON.parse(line);
      }
    },
  },
];

for (const { what, names, calls, prepare, check, checkDead } of states) {
  for (const call of calls) {
    testCalls(
      `${what}: whichever ${call} fails, the old state or the new one is there, whole`,
      { timeout: limitMs(300) },
      () => {
        const found = few(placesOf({ what, names, prepare }, call));
        expect(found.length).toBeGreaterThan(0);
        for (const place of found) {
          for (const error of allErrorsOf(call)) {
            const { folder, result } = hit({ what, names, prepare }, call, place, `error=${error}`);
            if (result.outcome !== undefined) {
              expect({ status: result.status, error }).toEqual({ status: 0, error });
            }
            check(folder, result.outcome, { call, error });
          }
          const { folder, result } = hit({ what, names, prepare }, call, place, 'signal=KILL');
          expect(result.outcome).toBeUndefined();
          checkDead(folder);
        }
        matrix.add(what, call, found.length, allErrorsOf(call));
      },
    );
  }
}

type Subject = Pick<State, 'what' | 'names' | 'prepare'>;

/** Numbers of the calls on the state, in a run in which nothing fails. */
function placesOf({ what, names, prepare }: Subject, call: string): number[] {
  const folder = temporaryFolder();
  prepare(folder);
  return callsOn(call, names, run(what, folder, call, []).trace);
}

const shifts = [0, 0, 1, -1, 2, -2];

/**
 * Makes one call on the state fail. The runtime itself does not make the same number of calls in every run, so it is
 * looked which one was hit, and done again until it is the right one.
 * @param place its number in an earlier run
 */
function hit(subject: Subject, call: string, place: number, fault: string): { folder: string; result: Result } {
  const { what, names, prepare } = subject;
  for (let attempt = 0; attempt < 20; attempt++) {
    const folder = temporaryFolder();
    prepare(folder);
    const n = place + (shifts[attempt % shifts.length] as number);
    const result = run(what, folder, call, [`inject=${call}:${fault}:when=${n}`]);
    const begin = result.trace.indexOf('begins-here');
    const last = result.trace.lastIndexOf(`\n${call}(`);
    const line = fault.startsWith('error')
      ? result.trace.split('\n').find((each) => each.includes('(INJECTED)'))
      : result.outcome === undefined && last > begin && begin >= 0
        ? result.trace.slice(last + 1).split('\n')[0]
        : undefined;
    if (line !== undefined && names.test(line)) {
      return { folder, result };
    }
  }
  throw new Error(`${call} number ${place} of ${what} could not be hit`);
}
