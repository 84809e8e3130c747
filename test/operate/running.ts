/** `holdfast run` as the tests start it: to its end, or while they look on. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';
import type { TestDaemon } from '../support/daemon.ts';
import { program, type RunResult, runHoldfast } from '../support/holdfast.ts';

export const run = (daemon: TestDaemon, words: readonly string[], input?: string | Buffer): Promise<RunResult> =>
  runHoldfast(['run', '--socket', daemon.socket, ...words], {
    env: daemon.env,
    ...(input === undefined ? {} : { input }),
  });

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
  stdout(): string;
  stderr(): string;
}

/** A run that the test looks at while it goes on. */
export function startRun(daemon: TestDaemon, words: readonly string[], socket = daemon.socket): Running {
  return follow(spawn(program, ['run', '--socket', socket, ...words], { env: daemon.env }));
}

export function follow(child: ChildProcessWithoutNullStreams): Running {
  onTestFinished(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString('latin1');
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString('latin1');
  });
  child.stdin.on('error', () => {});
  const ended = new Promise<RunResult>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended, stdout: () => stdout, stderr: () => stderr };
}
