/** A child as a test watches it: what it wrote, and promises for what happens to it. */
import { onTestFinished } from 'vitest';
import type { Platform } from '../../platform/platform.ts';
import type { Child, ExitStatus, OutputName, SpawnRequest } from '../../platform/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { fixture } from './fixture.ts';

export const maxChunkBytes = 32_768;

export class RunningChild {
  readonly child: Child;
  readonly pieces: Record<OutputName, Buffer[]> = { stdout: [], stderr: [] };
  /** What happened, in order: `end`, `stdout end`, `stderr end`. */
  readonly happened: string[] = [];

  constructor(platform: Platform, request: Partial<SpawnRequest> & Pick<SpawnRequest, 'command'>) {
    this.child = platform.processes.spawn({
      args: [],
      cwd: undefined,
      env: currentEnvironment(),
      maxChunkBytes,
      onOutput: (stream, bytes) => {
        // Valid during the call only.
        this.pieces[stream].push(Buffer.from(bytes));
        return true;
      },
      onOutputEnd: (stream) => this.happened.push(`${stream} end`),
      onEnd: () => this.happened.push('end'),
      ...request,
    });
    onTestFinished(async () => {
      this.child.signal('KILL', 'tree');
      await this.ended();
      this.child.collect();
      this.child.closeOutput();
      this.child.closeInput();
    });
  }

  text(stream: OutputName): string {
    return Buffer.concat(this.pieces[stream]).toString();
  }

  ended(): Promise<true> {
    return waitUntil(() => this.happened.includes('end') || undefined, 'the child to end');
  }

  /** Both outputs have ended, and the process. */
  async over(): Promise<ExitStatus> {
    await waitUntil(() => this.happened.length === 3 || undefined, `the end of everything, had ${this.happened}`);
    return this.child.collect();
  }

  /** The first line of its output. */
  line(): Promise<string> {
    return waitUntil(
      () => /^(.*?)\r?\n/.exec(this.text('stdout'))?.[1],
      `a line of output, had ${this.text('stderr')}`,
    );
  }
}

/** Runs a fixture program with Node. */
export function runFixture(
  platform: Platform,
  name: string,
  args: readonly string[] = [],
  request: Partial<SpawnRequest> = {},
): RunningChild {
  return new RunningChild(platform, { command: process.execPath, args: [fixture(name), ...args], ...request });
}

export function currentEnvironment(): [string, string][] {
  return Object.entries(process.env).map(([name, value]) => [name, value ?? '']);
}
