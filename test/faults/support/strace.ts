/** Makes the n-th system call of a running process fail, without a special build of it (strace's fault injection). */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { waitUntil } from '../../support/wait.ts';

export class Injection implements AsyncDisposable {
  readonly #strace: ChildProcess;
  readonly #output: string;
  readonly #ended: Promise<unknown>;

  private constructor(strace: ChildProcess, output: string) {
    this.#strace = strace;
    this.#output = output;
    this.#ended = new Promise((resolve) => strace.on('exit', resolve));
  }

  /**
   * From now on each thread's n-th call fails, once; every one with `'1+'`. Children are left alone.
   * @param output file of the test for what strace says
   */
  static async start(pid: number, call: string, error: string, nth: number | '1+', output: string): Promise<Injection> {
    // Not -f, which would follow into the children.
    const threads = readdirSync(`/proc/${pid}/task`);
    const strace = spawn(
      'strace',
      [
        ...threads.flatMap((thread) => ['-p', thread]),
        '-o',
        output,
        '-e',
        `trace=${call}`,
        '-e',
        `inject=${call}:error=${error}:when=${nth}`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let told = '';
    strace.stderr.on('data', (text) => {
      told += text;
    });
    // Attached is not all: each thread is stopped for a moment then, and strace waits for ever for one that ends in it.
    let looks = 0;
    await waitUntil(() => {
      if (strace.exitCode !== null) {
        throw new Error(`strace: ${told}`);
      }
      const goesOn =
        told.split('attached').length > threads.length && threads.every((thread) => !isStopped(pid, thread));
      looks = goesOn ? looks + 1 : 0;
      return looks === 5;
    }, 'strace to attach');
    return new Injection(strace, output);
  }

  /** Whether the call has failed by now. */
  get hasStruck(): boolean {
    return readFileSync(this.#output, 'latin1').includes('(INJECTED)');
  }

  /** Lets the process go on untraced. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#strace.kill('SIGINT');
    await this.#ended;
  }
}

function isStopped(pid: number, thread: string): boolean {
  try {
    return /^State:\s+[tT]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1'));
  } catch {
    // It has ended meanwhile.
    return false;
  }
}
