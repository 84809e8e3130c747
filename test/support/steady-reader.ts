/** A Python client that reads at a steady speed, in a process of its own (test/fixtures/steady-reader.py). */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface SteadyReading {
  /** Bytes a second. */
  readonly rate: number;
  /** So long it reads slowly, then as fast as the bytes come. */
  readonly seconds: number;
  readonly token: string;
  /** Command line of the process whose output it reads. */
  readonly command: string;
  readonly through: { readonly socket: string } | { readonly bridge: readonly string[] };
  /** Kills the reader. */
  readonly signal?: AbortSignal;
}

export interface WhatArrived {
  readonly frames: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly exitCode: number | null;
  /** Whether a number was missing between two frames. */
  readonly gap: boolean;
  /** Whether the daemon hung up before the exit frame. */
  readonly closed: boolean;
}

const script = fileURLToPath(new URL('../fixtures/steady-reader.py', import.meta.url));

/** Resolves when the process has ended, or the daemon has hung up. @throws when the reader failed or was killed */
export async function readSteadily(reading: SteadyReading): Promise<WhatArrived> {
  const { rate, seconds, token, command, through, signal } = reading;
  const where = 'socket' in through ? ['unix', through.socket] : ['run', ...through.bridge];
  const words = [script, token, String(rate), String(seconds), command, ...where];
  const reader = spawn('python3', words, { killSignal: 'SIGKILL', ...(signal === undefined ? {} : { signal }) });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  reader.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  reader.stderr.on('data', (bytes: Buffer) => errors.push(bytes));
  const code = await new Promise<number | null>((resolve, reject) => reader.on('error', reject).on('close', resolve));
  if (code !== 0) {
    throw new Error(`the reader ended with ${code}: ${Buffer.concat(errors)}`);
  }
  return JSON.parse(Buffer.concat(output).toString()) as WhatArrived;
}
