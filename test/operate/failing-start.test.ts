/**
 * Fault 13 for the start of a daemon: each system call on its files and on its host fails in turn. A start that can go on
 * goes on; one that cannot says why in lines of the contract. Never a stack, never a hang, and nothing stays behind.
 * `HOLDFAST_FULL_FAULTS=1` takes every call with every error.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { childrenOf } from '../faults/support/leaks.ts';
import { byLength, limitMs } from '../faults/support/length.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { linux, testNeeding, tracing } from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** EROFS and ENOTSUP (by its other name) come from file systems, EPERM from sandboxes and immutable files. */
const errors = ['EPERM', 'EROFS', 'EOPNOTSUPP'];

interface Start {
  readonly folder: string;
  /** What it wrote on its status pipe. */
  readonly report: string;
  readonly code: number | null;
  readonly log: string;
  readonly left: readonly string[];
  readonly trace: readonly string[];
}

/** Starts the detached part alone, as a launcher would, in a used run directory; ends it when it is ready. */
async function start(rules: readonly string[]): Promise<Start> {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  mkdirSync(at('run'), { mode: 0o700 });
  mkdirSync(at('run/children'), { mode: 0o700 });
  for (const name of ['token', 'run/daemon.token', 'run/rpc.pipe', 'run/daemon.lock']) {
    writeFileSync(at(name), name === 'token' ? 'secret\n' : '', { mode: 0o600 });
  }
  const log = openSync(at('run/remote-server.log'), 'a', 0o600);
  const status = openSync(at('status'), 'w');
  const options = ['-y', '-qq', '-s', '300', '-o', at('trace'), ...rules.flatMap((rule) => ['-e', rule])];
  const words = ['-serve', '-socket', at('run/s'), '-token-file', at('token'), '-wire-profile', 'next'];
  const child = spawn('strace', [...options, process.execPath, main, ...words, '-wire-log', at('wire')], {
    cwd: '/',
    env: {
      HOME: folder,
      SHELL: '/bin/sh',
      PATH: process.env.PATH,
      CLAUSTRUM_DAEMON_CHILD: '1',
      HOLDFAST_STATUS_PIPE: '3',
    },
    stdio: ['ignore', log, log, status],
  });
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  closeSync(log);
  closeSync(status);
  const report = (): string => readFileSync(at('status'), 'utf8');
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  try {
    await waitUntil(() => report() !== '' || isOver(), `the start to report (${rules.join(' ')})`);
  } catch (error) {
    // strace would leave the program alone; with the program it ends by itself.
    for (const pid of childrenOf(child.pid ?? 0)) {
      process.kill(pid, 'SIGKILL');
    }
    await ended;
    throw error;
  }
  if (report() === 'ready') {
    await shutDown(at('run/s'));
  }
  const code = await ended;
  const left = readdirSync(at('run'));
  const trace = readFileSync(at('trace'), 'latin1').split('\n');
  return { folder, report: report(), code, log: readFileSync(at('run/remote-server.log'), 'utf8'), left, trace };
}

function shutDown(socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.write('{"jsonrpc":"2.0","id":1,"method":"server.shutdown"}\n'));
    socket.on('error', reject).on('close', () => resolve());
    socket.resume();
  });
}

interface Place {
  readonly call: string;
  /** Counted as strace counts, from 1. */
  readonly number: number;
  /** The call with what differs from run to run taken out. */
  readonly shape: string;
}

const hostCalls = /^(bind|listen|socket|inotify_\w+|flock|pipe2)\(/;
const notOurs = /^(mmap|read|lseek|fstat|newfstatat|fcntl|ioctl|fsync|execve)\(/;

function shapeOf(line: string, folder: string): string {
  return line
    .replace(/\) += .*$/, ')')
    .replaceAll(folder, 'FOLDER')
    .replace(/\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d/, 'TIME')
    .replace(/\.s[0-9a-f]{6}|-[0-9a-f]{12}/g, 'RANDOM')
    .replace(/\b[0-9a-f]{32}\b|\d+/g, 'N')
    .replace(/\{stx_mask.*|0x[0-9a-f]+.*|\{\\.*/, '');
}

/** The calls of a good start on its own files, its socket and its pipes; of the same shape the first. */
function placesOf({ folder, trace }: Start): Place[] {
  const counts = new Map<string, number>();
  const found = new Map<string, Place>();
  let isOurs = false;
  for (const line of trace) {
    const [, call] = /^(\w+)\(/.exec(line) ?? [];
    if (call === undefined) {
      continue;
    }
    const number = (counts.get(call) ?? 0) + 1;
    counts.set(call, number);
    isOurs ||= line.includes('src/modes/serve.ts');
    const shape = shapeOf(line, folder);
    const concerns = line.includes(`${folder}/`) || line.includes('"/proc/') || hostCalls.test(line);
    if (isOurs && concerns && !notOurs.test(line) && !found.has(shape)) {
      found.set(shape, { call, number, shape });
    }
  }
  return [...found.values()];
}

/** The runtime does not make the same number of calls in every run, so it is looked which one was hit. */
async function hit(place: Place, error: string): Promise<Start | undefined> {
  for (const shift of [0, 0, 1, -1, 2, -2]) {
    const number = place.number + shift;
    if (number < 1) {
      continue;
    }
    const result = await start([`inject=${place.call}:error=${error}:when=${number}`]);
    const struck = result.trace.find((line) => line.includes('(INJECTED)'));
    if (struck !== undefined && shapeOf(struck, result.folder) === place.shape) {
      return result;
    }
  }
  return undefined;
}

/** Kept in a short run: calls of each kind that has ended a start, left something behind or shown a stack. */
const always =
  /^(openat|flock|fchmod|bind|rename|inotify_add_watch|getdents64)\(.*(daemon\.lock|\.sRANDOM|children|"\/proc\/self\/fd\/N\/(\.|s)"|run>, N)/;
/** The status report itself cannot tell that it could not be written. */
const cannotTell = /^(write|close)\(N<FOLDER\/status>/;

testNeeding(linux, tracing())(
  'whichever system call of a start fails, it serves or says why, with no stack, no hang and nothing left behind',
  { timeout: limitMs(300) },
  async () => {
    const all = placesOf(await start([])).filter(({ shape }) => !cannotTell.test(shape));
    expect(all.length).toBeGreaterThan(30);
    const places = byLength(
      all.filter(({ shape }) => always.test(shape)),
      all,
    );
    const missed: string[] = [];
    for (const [index, place] of places.entries()) {
      for (const error of byLength([errors[index % errors.length] ?? 'EPERM'], errors)) {
        const result = await hit(place, error);
        if (result === undefined) {
          missed.push(place.shape);
          continue;
        }
        judge(result, `${error} for ${place.shape}`, place);
      }
    }
    expect(missed.length, missed.join('\n')).toBeLessThan(places.length / 3);
  },
);

function judge({ report, code, log, left }: Start, what: string, { call, shape }: Place): void {
  const [word, ...reasons] = report.trimEnd().split('\n');
  expect([word, code], what).toEqual(word === 'ready' ? ['ready', 0] : ['failed', 1]);
  if (word === 'failed') {
    expect(reasons.length, what).toBeGreaterThan(0);
    for (const reason of reasons) {
      expect(reason, what).toMatch(/^(claustrum|holdfast): \S/);
    }
  }
  expect(`${report}\n${log}`, what).not.toMatch(/^\s+at |node:internal|recovered panic|shutdown: /m);
  // A start that ends before its turn does not touch what a predecessor has left.
  const untouched = word === 'ready' ? [] : ['daemon.token', 'rpc.pipe'];
  const gone = left.filter((name) => !['children', 'daemon.lock', 'remote-server.log', ...untouched].includes(name));
  if (call !== 'unlink') {
    expect(
      gone.filter((name) => !shape.includes(name)),
      what,
    ).toEqual([]);
  }
  expect(existsSync('/dev/null'), what).toBe(true);
}
