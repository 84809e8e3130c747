/** Running clients and servers of a benchmark, and what the kernel says of their time and memory (Linux). */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A client that takes longer has missed something it waits for. */
const patienceMs = 120_000;

export type Figures = Readonly<Record<string, number>>;

/** Runs a client to its end. @returns the JSON object it printed. @throws when it fails */
export async function run(file: string, words: readonly (string | number)[]): Promise<Figures> {
  const child = spawn(file, words.map(String), { stdio: ['ignore', 'pipe', 'inherit'], timeout: patienceMs });
  const output: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  const [code] = await ended(child);
  if (code !== 0) {
    throw new Error(`${file} ${words.join(' ')} ended with ${code}`);
  }
  return JSON.parse(Buffer.concat(output).toString());
}

/** The end of a child that was just started. */
export function ended(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => resolve([code, signal]));
  });
}

export interface Server extends AsyncDisposable {
  readonly pid: number;
  readonly socket: string;
  readonly token: string;
}

/** Starts a yardstick that serves at the socket it is told, and waits for the socket. */
export async function startServer(
  file: string | undefined,
  words: (place: { readonly socket: string; readonly token: string }) => readonly string[],
  options: { readonly core?: number } = {},
): Promise<Server | undefined> {
  if (file === undefined) {
    return undefined;
  }
  const folder = mkdtempSync('/tmp/hfb-');
  const place = { socket: join(folder, 's'), token: '0123456789abcdef0123456789abcdef' };
  const pinned = options.core === undefined ? [] : ['taskset', '-c', String(options.core)];
  const [command = file, ...rest] = [...pinned, file, ...words(place)];
  const child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit'] });
  const end = ended(child);
  while (!existsSync(place.socket)) {
    if (child.exitCode !== null) {
      throw new Error(`${file} ended with ${child.exitCode}`);
    }
    await sleep(5);
  }
  return {
    ...place,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await end;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** CPU seconds of all threads of a process so far, from the scheduler's nanoseconds. */
export function cpuSeconds(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1e9;
}

/**
 * Resident memory of a process in MB (10^6), how much of it no other process shares, and how much of that is its own: clean
 * pages of files come back from the page cache, and whether another process has them mapped too is a matter of chance.
 */
export function memoryOf(pid: number): { readonly resident: number; readonly private: number; readonly own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number => (Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]) * 1024) / 1e6;
  return {
    resident: of('Rss'),
    private: of('Private_Clean') + of('Private_Dirty'),
    own: of('Private_Dirty'),
  };
}

/** Runs `sample` of every candidate once a round, in turns, so that all of them meet the same moments of the machine. */
export async function interleave<Name extends string>(
  rounds: number,
  candidates: Readonly<Partial<Record<Name, () => Promise<Figures>>>>,
): Promise<Partial<Record<Name, Figures[]>>> {
  const samples: Partial<Record<Name, Figures[]>> = {};
  for (let round = 0; round <= rounds; round++) {
    for (const [name, sample] of Object.entries(candidates) as [Name, (() => Promise<Figures>) | undefined][]) {
      if (sample === undefined) {
        continue;
      }
      const figures = await sample();
      // The first round warms caches.
      if (round > 0) {
        samples[name] = [...(samples[name] ?? []), figures];
      }
    }
  }
  return samples;
}

/** How often each candidate is measured: HOLDFAST_BENCH_ROUNDS, or what the area finds enough. */
export function roundsOr(usual: number): number {
  return Number(process.env.HOLDFAST_BENCH_ROUNDS ?? usual);
}
